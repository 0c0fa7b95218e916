"""Who asks for what, and when: one module per workload, all listed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Tag

from sim.workloads.burst import Burst
from sim.workloads.recorded import Recorded
from sim.workloads.streams import Streams
from sim.workloads.trace import Trace
from sim.workloads.zipf import Zipf

REGISTRY: Mapping[str, type[BaseModel]] = {
    "burst": Burst,
    "recorded": Recorded,
    "streams": Streams,
    "trace": Trace,
    "zipf": Zipf,
}
"""Each workload by the name that ``traffic.workload`` gives it."""


def _name(traffic: Any) -> Any:
    if isinstance(traffic, Mapping):
        return traffic.get("workload", "zipf")
    return getattr(traffic, "workload", "zipf")


Workload = Annotated[
    Annotated[Burst, Tag("burst")]
    | Annotated[Recorded, Tag("recorded")]
    | Annotated[Streams, Tag("streams")]
    | Annotated[Trace, Tag("trace")]
    | Annotated[Zipf, Tag("zipf")],
    Discriminator(_name),
]
"""What ``traffic`` in a scenario may be."""
