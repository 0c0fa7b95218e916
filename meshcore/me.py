"""What an instance is from its start on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Me:
    """One instance's identity: its id, when it started, and the addresses (host:port) it is reached at."""

    instance: str
    start_ms: int
    address: str
    """The mesh port, for other instances."""
    grpc: str
    """The external port, for clients."""
    http: str = ""
    location: str = ""
    zone: str = ""
    labels: tuple[str, ...] = ()
    version: int = 0
    build: str = ""
    replica_set: str = ""
    data_plane: str = "python"
    vmodel_owner: str = ""
    """Of virtual models that are made without one."""
    is_read_only: bool = False
    """It leaves registrations as they are: makes and deletes none, takes out of none what others lost."""
