"""Registrations that come and go under load for minutes, and what stays of them: `python -m bench.churn`.

Three instances around an etcd; 1,000 models a minute are registered, used and unregistered beside steady requests.
Every minute: what failed, and of each instance its memory and the decisions it took; their reasons are kept, up to a
number, and its memory grows with them until then.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.churn import PREFIX, Churn, steady_mesh
from tests.e2e.test_mesh import Traffic, records
from tests.processes import Instance

STEADY = [f"steady-{number}" for number in range(50)]


def memory_mib(instance: Instance) -> float:
    """Resident memory of an instance's process."""
    return instance.metrics()["process_resident_memory_bytes"] / (1 << 20)


def decisions(instance: Instance) -> float:
    """How many decisions an instance has taken."""
    return sum(value for name, value in instance.metrics().items() if name.startswith("meshd_decisions"))


def main() -> None:
    """Run for so many minutes; exit code 1 if a request failed or a record is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--per-minute", type=int, default=1_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, steady_mesh(Path(directory), "abc", STEADY) as mesh:
        instances = list(mesh.instances.values())
        churn = Churn(instances)
        with Traffic(STEADY, lambda: instances) as traffic:
            for minute in range(1, given.minutes + 1):
                churn.run(given.per_minute, given.per_minute)
                memory = "  ".join(
                    f"{each.name} {memory_mib(each):5.1f} MiB {decisions(each):6.0f} decisions" for each in instances
                )
                failed = len(churn.failures) + len(traffic.failures)
                answered = traffic.answered.total()
                print(
                    f"{minute:3} min  {churn.done:6} models  {answered:7} answers  {failed} failed  {memory}",
                    flush=True,
                )
        left = [name for name in records(mesh) if name.startswith(PREFIX)]
        print(f"{len(left)} records left")
        for failure in [*churn.failures, *traffic.failures][:10]:
            print(failure)
        raise SystemExit(1 if left or churn.failures or traffic.failures else 0)


if __name__ == "__main__":
    main()
