"""New instances whose first loads go wrong: by the fault of models that lie broken in the registry, or by their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from meshcore.asks import Asked, Register, Request
from meshcore.commands import Load
from meshcore.kv import ANY, Write
from meshcore.records import ModelRecord
from tests.builders import NOW
from tests.meshcore.prompt import Prompt
from tests.meshcore.stored import MODELS

IDLE = [f"idle{number:02}" for number in range(40)]
BROKEN = {model for number, model in enumerate(IDLE) if number % 5 < 3}
"""60 % of them, among the others."""
WANTED = [f"wanted{number:02}" for number in range(40)]
WINDOW_MS = 180_000
HOUR = 3_600_000


class Mesh(Prompt):
    """A mesh with idle models; what ``bad`` says of an instance and a model fails when it is loaded there."""

    def __init__(self, bad: Callable[[str, str], bool], **record: int) -> None:
        super().__init__(dict.fromkeys(IDLE + WANTED, 10), capacity_units=2_000, load_threads=8)
        self._bad = bad
        self.failed: Counter[str] = Counter()
        """Loads, by instance."""
        fields = {"last_used": NOW - HOUR} | record
        for model in IDLE:
            self.kv.commit([Write(MODELS + model, ANY, ModelRecord("onnx", **fields).encode())])

    def is_bad(self, load: Load, instance: str) -> bool:
        fails = self._bad(instance, load.model)
        self.failed[instance] += fails
        return fails

    def missing(self) -> list[tuple[str, ...]]:
        return [host.node.readiness.missing for host in self.live]


@pytest.mark.parametrize("record", [{}, {"min_copies": 1}])
def test_a_fresh_mesh_is_ready_and_stays_so_whatever_lies_broken_in_its_registry(record: dict[str, int]) -> None:
    """What is loaded in advance, or because some copies have to be there, says nothing of the instances."""
    mesh = Mesh(lambda _, model: model in BROKEN, **record)
    for name in "ab":
        mesh.start(name)
    mesh.go_on(WINDOW_MS - 1_000)
    assert all(mesh.failed[name] == len(BROKEN) for name in "ab"), "more than half of more than 20 loads"
    assert mesh.missing() == [(), ()]
    mesh.go_on(HOUR)
    assert mesh.missing() == [(), ()]


@pytest.mark.parametrize("ask", [Request, lambda model: Register(model, "onnx", should_load=True)])
def test_a_build_that_can_load_nothing_of_what_clients_ask_for_is_out_of_use(ask: Callable[[str], Asked]) -> None:
    """Though it is one among others that load what it cannot, and what lies idle is loaded there in advance."""
    mesh = Mesh(lambda name, model: name == "new" or model in BROKEN)
    for model in WANTED:
        mesh.kv.commit([Write(MODELS + model, ANY, ModelRecord("onnx", last_used=NOW - 2 * HOUR).encode())])
    mesh.start("a")
    mesh.go_on(0)
    new = mesh.start("new")
    mesh.go_on(1_000)
    for number, model in enumerate(WANTED):
        mesh.ask(mesh.live[number % 2], ask(model))
        mesh.go_on(100)
    assert mesh.now < new.node.identity.start_ms + WINDOW_MS
    assert mesh.missing()[0] == ()
    (text,) = mesh.missing()[1]
    assert text.endswith(" loads failed here, so it stays out of use (fail-fast)")
    mesh.go_on(HOUR)
    assert mesh.missing() == [(), (text,)]


def test_a_build_that_cannot_load_what_others_hold_is_out_of_use_whoever_had_it_load_that() -> None:
    """Copies that the mesh makes by itself are what a rolling change shows first where all that is used is held."""
    mesh = Mesh(lambda name, _: name == "new", min_copies=2)
    mesh.start("a")
    mesh.go_on(WINDOW_MS)
    assert mesh.failed == Counter({"a": 0})
    mesh.start("new")
    mesh.go_on(60_000)
    text = "3 models that other instances hold could not be loaded here, so it stays out of use (fail-fast)"
    assert mesh.missing() == [(), (text,)]
