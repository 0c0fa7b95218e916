"""The server's driver and the simulator's make the same nodes do the same things at the same instants."""

from __future__ import annotations

from collections import Counter

from meshcore.asks import Clashed
from meshcore.commands import Unload
from meshcore.reasons import Rule
from sim.mesh import Mesh
from sim.store import Records
from tests.equivalence.on_asyncio import AsyncMesh
from tests.equivalence.world import INSTANCES, REQUESTS, Story, make_traffic, make_world
from tests.virtual_loop import run

UNTIL_MS = 120_000
"""Long after the last answer."""


def on_simpy() -> Story:
    story = Story()
    mesh = Mesh(make_world(), story)
    story.now = lambda: int(mesh.env.now)
    count_conflicts(mesh.records, story)
    mesh.play(make_traffic())
    mesh.env.run(until=UNTIL_MS)
    return story


def on_asyncio() -> Story:
    story = Story()

    async def main() -> None:
        mesh = AsyncMesh(make_world(), story)
        story.now = lambda: mesh.loop.now_ms
        count_conflicts(mesh.records, story)
        await mesh.play(make_traffic(), UNTIL_MS)

    run(main())
    return story


def count_conflicts(records: Records, story: Story) -> None:
    write = records.write

    def counted(model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()) -> object:
        outcome = write(model, expect, value, gone)
        story.conflicts += isinstance(outcome, Clashed)
        return outcome

    records.write = counted  # type: ignore[method-assign, assignment]


def test_both_drivers_give_the_same_commands_at_the_same_instants() -> None:
    simulated, served = on_simpy(), on_asyncio()
    for mine, theirs in zip(simulated.commands, served.commands, strict=False):
        assert mine == theirs
    assert len(simulated.commands) == len(served.commands)
    assert sorted(simulated.ends) == sorted(served.ends)
    assert simulated.conflicts == served.conflicts
    assert_much_went_wrong(simulated)


def assert_much_went_wrong(story: Story) -> None:
    """Else the comparison shows little."""
    unloads = Counter(command.why.rule for _, _, command in story.commands if isinstance(command, Unload))
    ends = Counter(end[0] for end in story.ends)
    assert len(story.ends) == REQUESTS >= 5000
    assert {end[1] for end in story.ends} == set(INSTANCES)
    assert unloads[Rule.FAIL] > 100, "failed loads"
    assert unloads[Rule.EVICT] > 500, "evictions"
    assert story.conflicts > 100, "conflicts in the store"
    assert ends["left"] > 100, "clients that went away"
    assert ends["LoadFailure"] + ends["LoadFailure elsewhere"] > 50, "requests that failed"
    assert ends["waited"] > 100, "cold requests"
    assert ends["waited elsewhere"] > 100, "cold requests that were passed on"
    assert ends["local"] > 100, "warm requests"
    assert ends["forwarded"] > 100, "warm requests that were passed on"
    at_once: dict[int, set[str]] = {}
    for now, instance, _ in story.commands:
        at_once.setdefault(now, set()).add(instance)
    assert sum(len(instances) >= 3 for instances in at_once.values()) > 500, "instances busy in the same millisecond"
