"""A model that is asked for much gets copies and loses them again, as real processes with all periods a sixtieth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from tests.client import ECHO, GUARD_S, Client, spec
from tests.e2e.test_mesh import holders
from tests.processes import Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

HOT = "hot"
FILLERS = tuple(f"model-{number:02}" for number in range(70))
"""More than there is room for: every instance is full."""
THRESHOLD = 600
TIMES = 3
SCALE_DOWN_GUARD_S = 240
PERIODS = {
    "MM_RATECHECK_FREQ_MS": "166",
    "MM_MIN_SECOND_COPY_AGE_SECS": "7",
    "MM_MAX_SECOND_COPY_AGE_SECS": "40",
    "MM_SECOND_COPY_LRU_MS": "1200000",
    "MM_JANITOR_FREQ_SECS": "6",
    "MM_SCALEDOWN_SETTLED_MS": "30000",
    "MM_SCALEDOWN_HEAVY_MS": "10000",
    "MM_SCALEDOWN_HEAVY_BASE_MS": "1733",
    "MM_SCALEDOWN_HEAVY_MAX_MS": "300000",
    "MM_SCALEDOWN_UNUSED_MS": "600000",
}


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """Four instances with room for fifteen models each."""
    settings = {"MM_MIN_CHURN_AGE_MS": "0", "MM_SCALEUP_RPM_THRESHOLD": str(THRESHOLD), **PERIODS}
    with Mesh(tmp_path, settings) as made:
        for name in ("a", "b", "c", "d"):
            made.fake(name, "--capacity=16MiB", "--size=1MiB", "--default-size=1MiB", "--load-ms=5")
        made.start()
        made["a"].client.register_all(spec(name) for name in (*FILLERS, HOT))
        for name in FILLERS:
            made["a"].client.infer(name)
        yield made


class Steady:
    """Requests for one model, so many a second, whatever becomes of those before."""

    def __init__(self, client: Client, per_s: float) -> None:
        self._client, self._pause_s = client, 1 / per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failures: list[str] = []

    def __enter__(self) -> Steady:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(GUARD_S)

    def _run(self) -> None:
        calls = []
        while not self._stop.wait(self._pause_s):
            calls.append(self._client.begin(ECHO, b"x", (("mm-model-id", HOT),)))
        self.failures = [str(call.exception()) for call in calls if call.exception() is not None]


def decided(mesh: Mesh, rule: str) -> float:
    """How often the instances decided by a rule, all together."""
    name = f'meshd_decisions{{rule="{rule}",}}'
    return sum(instance.metrics().get(name, 0) for instance in mesh.instances.values())


def test_a_model_at_three_times_the_threshold_gets_copies_and_loses_them_again(mesh: Mesh) -> None:
    """No request fails meanwhile; each change is one that the instances decided."""
    client = mesh["a"].client
    client.infer(HOT)
    assert len(holders(mesh)[HOT]) == 1
    assert decided(mesh, "scale-up") == 0
    with Steady(client, TIMES * THRESHOLD / 60) as steady:
        until(lambda: len(holders(mesh)[HOT]) >= TIMES, "as many copies as the load calls for")
    assert steady.failures == []
    assert decided(mesh, "scale-up") >= 1
    most = len(holders(mesh)[HOT])

    until(lambda: len(holders(mesh)[HOT]) == 1, "they go again", SCALE_DOWN_GUARD_S)
    assert decided(mesh, "scale-down") + decided(mesh, "evict") >= most - 1
    assert decided(mesh, "scale-down") >= 1
    assert client.infer(HOT) is not None
    assert len(holders(mesh)[HOT]) == 1
    for instance in mesh.instances.values():
        assert "Traceback" not in instance.meshd.said()
