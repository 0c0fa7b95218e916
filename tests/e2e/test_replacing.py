"""Each instance of a mesh under load is replaced, by a signal, by a drain, or its runtime alone: nobody notices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner

from mmctl.app import app
from tests.client import spec
from tests.e2e.test_mesh import Ready, Traffic, answer_all, holders
from tests.processes import Instance, Mesh, free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

NAMES = tuple(f"model-{number:02}" for number in range(30))
A_SECOND = 200


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Three instances, one copy of each model, a load takes a second."""
    with Mesh(tmp_path_factory.mktemp("mesh"), {"MM_MIN_CHURN_AGE_MS": "0"}) as made:
        for name in "abc":
            port = free_port()
            made.fake(
                name, "--capacity=256MiB", "--size=1MiB", "--load-ms=1000", "--loading-concurrency=10",
                f"--prestop=http://127.0.0.1:{port}/prestop", MM_PRESTOP_WAIT_PORT=str(port),
            )  # fmt: skip
        made.start()
        made["a"].client.register_all(spec(name) for name in NAMES)
        answer_all(made["a"].client, NAMES)
        yield made


def decided(instance: Instance, rule: str) -> float:
    return instance.metrics().get(f'meshd_decisions{{rule="{rule}",}}', 0)


def by_signal(mesh: Mesh, instance: Instance) -> None:
    assert instance.meshd.stop() == 0
    instance.start()


def by_drain(mesh: Mesh, instance: Instance) -> None:
    asked = next(each for each in mesh.instances.values() if each is not instance)
    done = CliRunner().invoke(app, ["drain", instance.name, "--endpoint", asked.address])
    assert done.exit_code == 0, done.output
    assert re.search(rf"{instance.name} draining: \d+ of \d+ settled", done.output)
    assert f"{instance.name} stops: its copies are handed over" in done.output
    assert instance.meshd.wait() == 0
    instance.start()


def its_runtime(mesh: Mesh, instance: Instance) -> None:
    assert instance.runtime.stop() == 0
    instance.start_runtime()
    until(lambda: instance.client.instances()[instance.name].phase == "ready", "it takes loads again")


WAYS: dict[str, Callable[[Mesh, Instance], None]] = {"a": by_signal, "b": by_drain, "c": its_runtime}


def test_no_request_fails_or_waits_while_all_are_replaced(mesh: Mesh) -> None:
    """By a signal, by a drain that another instance is asked for, and the runtime alone: the load goes on meanwhile."""
    with Ready(mesh) as ready, Traffic(NAMES, ready, A_SECOND) as traffic:
        traffic.more(A_SECOND // 4)
        for name, replace in WAYS.items():
            waited = {each.name: decided(each, "wait") for each in mesh.instances.values()}
            if replace is not its_runtime:
                waited[name] = 0  # it counts anew
            replace(mesh, mesh[name])
            mesh.settle()
            until(lambda name=name: mesh[name] in ready(), "clients come back")  # type: ignore[misc]
            traffic.more(A_SECOND // 4)
            assert {each.name: decided(each, "wait") for each in mesh.instances.values()} == waited, name
    assert traffic.failures == []
    assert all(copies for copies in holders(mesh).values())
