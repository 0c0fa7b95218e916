"""What clients ask of the registry, run through the node of this instance, and how a status looks to them."""

from __future__ import annotations

from typing import Any

from meshcore.asks import Asked, Done, Failed, StatusInfo
from meshd.driver import Driver
from meshd.plane.peer_calls import PeerCall
from meshd.plane.python import PythonPlane
from protos import model_mesh_pb2 as mmesh


class Management:
    """Runs what clients ask of the registry through the node of this instance."""

    def __init__(self, driver: Driver, plane: PythonPlane) -> None:
        self._driver, self._plane = driver, plane

    async def run(self, asked: Asked) -> Done | Failed:
        """One request to its end."""
        return await self._driver.run(asked, PeerCall(self._plane))


def to_message(info: StatusInfo) -> Any:
    """A status as clients of ModelMesh read it."""
    copies = [
        mmesh.ModelStatusInfo.ModelCopyInfo(location=copy.instance, copyStatus=copy.status.value, time=copy.at)
        for copy in info.copies
    ]
    return mmesh.ModelStatusInfo(status=info.status.value, errors=info.errors, modelCopyInfos=copies)
