"""Models that are each to have a copy, on instances that have no room for all of them."""

from __future__ import annotations

from meshcore.asks import Kept, Register
from meshcore.commands import Load
from tests.meshcore.prompt import Prompt

MINUTE = 60_000
MODELS = [f"m{number:02}" for number in range(20)]


class Counting(Prompt):
    """Remembers what was loaded."""

    loads = 0

    def is_bad(self, load: Load, instance: str) -> bool:
        self.loads += 1
        return False


def test_models_that_do_not_all_fit_do_not_push_each_other_out_in_turns() -> None:
    """Whoever came later stays, the others come back only where there is room; and then they do."""
    mesh = Counting(dict.fromkeys(MODELS, 10), min_space_units=0)
    for name in "ab":
        mesh.start(name)
    for model in MODELS:
        mesh.ask(mesh.live[0], Register(model, "t", "p", kept=Kept(min_copies=1, max_copies=0)))
    mesh.go_on(10 * MINUTE)
    places = sum(len(host.node.cache.entries) for host in mesh.live)
    assert (mesh.loads <= len(MODELS) + places, places) == (True, 18)
    before = mesh.loads
    mesh.go_on(60 * MINUTE)
    assert mesh.loads == before
    mesh.start("c")
    mesh.go_on(10 * MINUTE)
    assert {model for host in mesh.live for model in host.node.cache.entries} == set(MODELS)
