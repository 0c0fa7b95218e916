"""A scenario that is played in a moment, for tests of what is done with many runs, and what is said of others."""

from __future__ import annotations

import re

SMALL = """# Is it small?
seed: 7
duration_s: 6
warmup_s: 1
instances: {count: 2, capacity: 64 MiB, loading_concurrency: 2, default_model_size: 1 MiB}
models: {count: 20, lognormal: {median: 4 MiB, sigma: 0.5}}
runtime:
  load: {base_ms: 20, bandwidth: 200 MiB}
  service: {mean_ms: 5, cv: 0.5}
traffic: {workload: zipf, requests_per_s: 20, alpha: 1.0}
settings: {min_churn_age_ms: 0}
"""


def without_line(problem: str, name: str) -> str:
    """What is said after a file's name, and the line of it if that is told."""
    assert problem.startswith(name)
    return re.sub(r"^:\d+(?=:)", "", problem.removeprefix(name))
