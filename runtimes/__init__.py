"""Model servers that speak the model-runtime interface."""
