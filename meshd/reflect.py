"""Lets clients find out what the external port serves, from our descriptors and from those of gRPC's own services."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from protos import POOL, meshd_pb2, model_mesh_pb2


class _Pools:
    """Looks a name up in our pool, then in the process's."""

    _pools = (POOL, descriptor_pool.Default())

    def __getattr__(self, find: str) -> Any:
        def found(*names: Any) -> Any:
            missing = KeyError(names)
            for pool in self._pools:
                try:
                    return getattr(pool, find)(*names)
                except KeyError as error:
                    missing = error
            raise missing

        return found


def reflect(server: Any) -> None:
    """Serve gRPC reflection."""
    names = (
        model_mesh_pb2.DESCRIPTOR.services_by_name["ModelMesh"].full_name,
        meshd_pb2.DESCRIPTOR.services_by_name["Mesh"].full_name,
        health.SERVICE_NAME,
        reflection.SERVICE_NAME,
    )
    reflection.enable_server_reflection(names, server, pool=_Pools())
