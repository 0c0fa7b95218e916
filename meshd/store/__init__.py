"""The registry's store: one contract, etcd and memory behind it."""
