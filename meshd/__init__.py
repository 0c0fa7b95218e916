"""The server: lives by the rules of meshcore on asyncio, gRPC and etcd."""
