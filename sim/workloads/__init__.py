"""Who asks for what, and when: one module per workload, all listed here."""

from __future__ import annotations

from sim.workloads.zipf import Zipf

Workload = Zipf
"""What ``traffic`` in a scenario may be."""

REGISTRY = {"zipf": Zipf}
"""Each workload by the name that ``traffic.workload`` gives it."""
