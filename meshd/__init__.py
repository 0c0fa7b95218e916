"""The server: lives by the rules of meshcore on asyncio, gRPC and etcd."""

import os

# What grpc's core prints about every failed handshake comes with the error too, and there it is said once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
