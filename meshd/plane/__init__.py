"""The data plane: carries requests to copies and asks the core about everything else."""
