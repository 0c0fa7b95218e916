"""The core's status names and gRPC's, one table each way."""

from __future__ import annotations

import grpc

from meshcore.errors import Code

TO_GRPC: dict[Code, grpc.StatusCode] = {code: grpc.StatusCode[code.value] for code in Code}
TO_NUMBER: dict[Code, int] = {code: status.value[0] for code, status in TO_GRPC.items()}
_FROM_NUMBER = {number: code for code, number in TO_NUMBER.items()}


def from_number(number: int) -> Code:
    """The code of a gRPC status number; INTERNAL for one that the core has no name for."""
    return _FROM_NUMBER.get(number, Code.INTERNAL)


def from_grpc(status: grpc.StatusCode) -> Code:
    """The core's name of a gRPC status; UNKNOWN for one it has no name for (the client sees the status as it came)."""
    return Code(status.name) if status.name in Code.__members__ else Code.UNKNOWN
