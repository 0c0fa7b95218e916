"""What comes next in an upgrade: tables, and whole upgrades of instances that behave as Hypothesis has them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmctl.upgrade.record import Ask, Hold, Limits, Phase, Upgrade
from mmctl.upgrade.rules import Do, Member, Move, Seen, course, is_given_up, next_move

NOW = 1_000_000
LIMITS = Limits(max_failed=2, max_wait_ms=60_000, settle_ms=0)


def up(name: str, **fields: object) -> Member:
    return replace(Member(name, is_ready=True), **fields)  # type: ignore[arg-type]


def gone(name: str) -> Member:
    return Member(name, is_up=False)


BEGUN = Seen(new=(gone("c"), gone("d")), old=(up("a"), up("b")), size=2)
SURGED = replace(BEGUN, new=(up("c"), gone("d")))
ENDED = Seen(new=(up("c"), up("d")), old=(gone("a"), gone("b")), size=2)


def upgrade(phase: Phase = Phase.ROLLING, seen: Seen = BEGUN, **fields: object) -> Upgrade:
    """An upgrade that has been seen like that, and moved just now."""
    made = Upgrade("1", "local", "one", "two", {}, 2, ("a", "b"), ("c", "d"), LIMITS, phase, moved_ms=NOW, phase_ms=NOW)
    return replace(made, mark=course(made, seen, NOW).mark, **fields)  # type: ignore[arg-type]


FAILING = replace(SURGED, failing=("x", "y", "z"))
STUCK = replace(SURGED, stuck="c has ended by itself")
SLOW = replace(SURGED, slow="x on c", slow_ms=60_001)


@pytest.mark.parametrize(
    ("seen", "hold", "reason"),
    [
        (SURGED, Hold.NONE, ""),
        (replace(FAILING, failing=("x", "y")), Hold.NONE, ""),
        (FAILING, Hold.FAILED, "3 models fail to load on new instances (limit 2): x, y, z"),
        (STUCK, Hold.STUCK, "c has ended by itself"),
        (replace(SLOW, slow_ms=60_000), Hold.NONE, ""),
        (SLOW, Hold.SLOW, "x on c has been loading for 60 s (limit 60 s)"),
        (replace(ENDED, failing=("x",) * 3), Hold.FAILED, "3 models fail to load on new instances (limit 2): x, x, x"),
    ],
)  # fmt: skip
def test_what_passes_a_limit_holds_or_rolls_back(seen: Seen, hold: Hold, reason: str) -> None:
    rolling = upgrade(seen=seen)
    held = course(rolling, seen, NOW)
    assert (held.phase, held.hold, held.reason) == (Phase.HELD if hold else Phase.ROLLING, hold, reason)
    back = course(replace(rolling, limits=replace(LIMITS, auto_rollback=True)), seen, NOW)
    assert (back.phase, back.reason) == (Phase.ROLLING_BACK if hold else Phase.ROLLING, reason)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (replace(BEGUN, new=(up("c", is_ready=False, text="no runtime"), gone("d"))), "c is not ready (no runtime)"),
        (replace(SURGED, old=(up("a", is_going=True), up("b"))), "a drains"),
        (SURGED, "no new instance comes"),
    ],
)
def test_step_that_takes_too_long_holds_and_says_what_is_awaited(seen: Seen, reason: str) -> None:
    rolling = upgrade(seen=seen)
    assert course(rolling, seen, NOW + 60_000).phase is Phase.ROLLING
    held = course(rolling, seen, NOW + 60_001)
    assert (held.phase, held.hold, held.reason) == (
        Phase.HELD, Hold.STALLED, f"nothing has moved for 60 s (limit 60 s): {reason}"
    )  # fmt: skip
    moved = replace(seen, old=(*seen.old[:1], gone("b")))
    assert course(held, seen, NOW + 90_000).phase is Phase.HELD
    assert course(held, moved, NOW + 90_000).phase is Phase.ROLLING


def test_hold_ends_when_its_cause_does() -> None:
    held = course(upgrade(seen=SURGED), FAILING, NOW)
    assert course(held, FAILING, NOW + 1).phase is Phase.HELD
    # So long a hold is no step that takes too long.
    rolling = course(held, SURGED, NOW + 3_600_000)
    assert (rolling.phase, rolling.hold, rolling.moved_ms) == (Phase.ROLLING, Hold.NONE, NOW + 3_600_000)
    assert [event.text for event in rolling.events] == [
        "held: 3 models fail to load on new instances (limit 2): x, y, z",
        "rolling: goes on: no longer so that 3 models fail to load on new instances (limit 2): x, y, z",
    ]


def test_instance_that_cannot_be_ready_holds_until_something_moves() -> None:
    """A Deployment that is paused says no more what is wrong with it."""
    waiting = replace(BEGUN, new=(up("c", is_ready=False), gone("d")))
    held = course(upgrade(seen=waiting), replace(waiting, stuck="ProgressDeadlineExceeded"), NOW)
    assert course(held, waiting, NOW + 1).phase is Phase.HELD
    assert course(held, SURGED, NOW + 1).phase is Phase.ROLLING


def test_what_is_asked_for_is_done_and_forgotten() -> None:
    held = replace(course(upgrade(seen=SURGED), FAILING, NOW), asked=Ask.RESUME)
    # Each by the clock of its instance, one of which is ahead: those failures are not to count any more.
    failed_ms = {"c": NOW + 3_600_000, "d": NOW - 3_600_000}
    resumed = course(held, replace(FAILING, failed_ms=failed_ms), NOW + 5)
    assert (resumed.phase, resumed.asked) == (Phase.ROLLING, Ask.NOTHING)
    assert resumed.counted_ms == {"c": NOW + 3_600_001, "d": NOW - 3_599_999}
    assert course(replace(held, counted_ms={"c": NOW}), SURGED, NOW + 5).counted_ms == {"c": NOW}
    for before in (resumed, held):
        back = course(replace(before, asked=Ask.ABORT, asked_by="me"), FAILING, NOW + 6)
        assert (back.phase, back.asked, back.reason) == (Phase.ROLLING_BACK, Ask.NOTHING, "asked for by me")
    # Going back, nothing turns it any more.
    again = course(replace(back, asked=Ask.RESUME), replace(FAILING, stuck="x"), NOW + 7)
    assert (again.phase, again.asked) == (Phase.ROLLING_BACK, Ask.NOTHING)


def test_rollback_that_does_not_get_on_is_stalled_and_then_given_up() -> None:
    waiting = replace(SURGED, old=(up("a", is_ready=False, text="no runtime"), up("b")))
    back = upgrade(Phase.ROLLING_BACK, waiting, moved_ms=NOW - 3_600_000)
    assert course(back, waiting, NOW + 60_000).hold is Hold.NONE
    stalled = course(back, waiting, NOW + 60_001)
    assert (stalled.phase, stalled.hold, stalled.reason) == (
        Phase.ROLLING_BACK,
        Hold.STALLED,
        "going back, nothing has moved for 60 s (limit 60 s): a is not ready (no runtime)",
    )
    assert course(stalled, waiting, NOW + 61_000) == stalled
    assert (is_given_up(stalled, NOW + 120_000), is_given_up(stalled, NOW + 120_001)) == (False, True)
    for asked in (Ask.RESUME, Ask.ABORT):
        again = course(replace(stalled, asked=asked), waiting, NOW + 200_000)
        assert (again.phase, again.hold) == (Phase.ROLLING_BACK, Hold.NONE)
        assert course(again, waiting, NOW + 260_001).hold is Hold.STALLED
    moved = course(stalled, SURGED, NOW + 90_000)
    assert (moved.phase, moved.hold, moved.events[-1].text) == (
        Phase.ROLLING_BACK, Hold.NONE, "no longer stalled: goes on"
    )  # fmt: skip


def test_process_that_is_started_and_ends_over_and_over_brings_nothing_back() -> None:
    tries = [replace(SURGED, old=(member, up("b"))) for member in (gone("a"), up("a", is_ready=False))]
    back = upgrade(Phase.ROLLING_BACK, tries[0])
    for second in range(0, 62, 2):
        back = course(back, tries[second // 2 % 2], NOW + second * 1_000 + 1)
    assert back.hold is Hold.STALLED


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.ROLLED_BACK])
@pytest.mark.parametrize("ask", list(Ask))
def test_what_is_over_stays_so(phase: Phase, ask: Ask) -> None:
    over = course(upgrade(phase, ENDED, asked=ask), FAILING, NOW)
    assert (over.phase, over.asked) == (phase, Ask.NOTHING)


def test_it_is_done_when_all_are_new_and_ready() -> None:
    assert course(upgrade(), ENDED, NOW).phase is Phase.DONE
    for seen in (
        replace(ENDED, is_settled=False),
        replace(ENDED, old=(gone("a"), up("b", is_going=True))),
        replace(ENDED, new=(up("c"), up("d", is_ready=False))),
        replace(ENDED, new=(up("c"), up("d", is_going=True))),
    ):
        assert course(upgrade(), seen, NOW).phase is Phase.ROLLING
    back = Seen(new=(gone("c"), gone("d")), old=(up("a"), up("b")), size=2)
    assert course(upgrade(Phase.ROLLING_BACK), back, NOW).phase is Phase.ROLLED_BACK


def test_another_version_that_somebody_applies_holds_until_it_is_agreed_to_or_gone() -> None:
    begun = course(upgrade(seen=SURGED), replace(SURGED, comes="mesh-2"), NOW)
    third, unknown = replace(SURGED, comes="mesh-3"), SURGED
    assert (begun.comes, course(begun, unknown, NOW).phase) == ("mesh-2", Phase.ROLLING)
    held = course(begun, third, NOW)
    assert (held.phase, held.hold, held.comes) == (Phase.HELD, Hold.OTHER, "mesh-2")
    assert held.reason == "somebody else has applied another version: mesh-3 comes instead of mesh-2"
    assert course(begun, replace(ENDED, comes="mesh-3"), NOW).phase is Phase.HELD
    assert course(held, replace(SURGED, comes="mesh-2"), NOW).phase is Phase.ROLLING
    assert course(held, unknown, NOW).phase is Phase.HELD
    agreed = course(replace(held, asked=Ask.RESUME), third, NOW)
    assert (agreed.phase, agreed.wanted) == (Phase.ROLLING, "mesh-3")
    assert course(agreed, replace(ENDED, comes="mesh-3"), NOW).reason == "all of it is mesh-3"
    first = course(upgrade(seen=SURGED), replace(third, is_wanted=False), NOW)
    assert (first.hold, first.comes) == (Hold.OTHER, "")
    assert first.reason == "somebody else has applied another version: mesh-3 comes instead of two"
    assert course(replace(first, asked=Ask.RESUME), replace(third, is_wanted=False), NOW).comes == "mesh-3"


def test_what_somebody_else_undid_is_gone_back_on() -> None:
    not_yet = upgrade(new=())
    assert course(not_yet, replace(BEGUN, is_former=True), NOW).phase is Phase.ROLLING
    for begun in (replace(not_yet, comes="mesh-2"), replace(not_yet, new=("c",))):
        back = course(begun, replace(SURGED, is_former=True), NOW)
        assert (back.phase, back.reason) == (Phase.ROLLING_BACK, "somebody else has undone the rollout")


@pytest.mark.parametrize(
    ("phase", "seen", "move"),
    [
        (Phase.ROLLING, BEGUN, Move(Do.START, "c", "2 of 2 instances are there")),
        (
            Phase.ROLLING,
            replace(BEGUN, new=(up("c", is_ready=False, text="waits"), gone("d"))),
            Move(Do.WAIT, "c", "c is not ready yet: waits"),
        ),
        (Phase.ROLLING, SURGED, Move(Do.DRAIN, "a", "3 instances are there, 2 are needed")),
        (
            Phase.ROLLING,
            replace(SURGED, old=(up("a", is_going=True, models=1), up("b"))),
            Move(Do.WAIT, "a", "a drains, 1 model left"),
        ),
        (Phase.ROLLING, replace(SURGED, old=(gone("a"), up("b"))), Move(Do.START, "d", "2 of 2 instances are there")),
        (
            Phase.ROLLING,
            replace(ENDED, old=(gone("a"), up("b"))),
            Move(Do.DRAIN, "b", "3 instances are there, 2 are needed"),
        ),
        (Phase.ROLLING, replace(BEGUN, old=(gone("a"), gone("b"))), Move(Do.START, "c", "0 of 2 instances are there")),
        (Phase.ROLLING, ENDED, Move(Do.FINISH, "", "nothing is left to do")),
        (Phase.HELD, SURGED, Move(Do.WAIT, "", "why")),
        (Phase.ROLLING_BACK, SURGED, Move(Do.DRAIN, "c", "3 instances are there, 2 are needed")),
        (
            Phase.ROLLING_BACK,
            replace(BEGUN, new=(up("c", is_ready=False), gone("d"))),
            Move(Do.DRAIN, "c", "c is not ready, nobody needs it"),
        ),
        (
            Phase.ROLLING_BACK,
            Seen(new=(up("c", is_going=True), gone("d")), old=(up("a"), up("b")), size=2),
            Move(Do.WAIT, "c", "c drains"),
        ),
        (
            Phase.ROLLING_BACK,
            replace(SURGED, old=(up("a", is_going=True), up("b"))),
            Move(Do.START, "", "2 of 2 instances are there"),
        ),
        (
            Phase.ROLLING_BACK,
            replace(ENDED, old=(gone("a"), up("b", is_going=True))),
            Move(Do.START, "a", "2 of 2 instances are there"),
        ),
        (Phase.ROLLING_BACK, ENDED, Move(Do.START, "a", "2 of 2 instances are there")),
    ],
)  # fmt: skip
def test_one_thing_is_next(phase: Phase, seen: Seen, move: Move) -> None:
    assert next_move(upgrade(phase, seen, reason="why"), seen, NOW) == move


def test_what_has_just_come_settles_first() -> None:
    rolling = upgrade(seen=SURGED, limits=replace(LIMITS, settle_ms=2_000))
    assert next_move(rolling, SURGED, NOW + 1_999) == Move(Do.WAIT, "c", "lets c settle")
    assert next_move(rolling, SURGED, NOW + 2_000).do is Do.DRAIN
    assert next_move(replace(rolling, phase=Phase.ROLLING_BACK), SURGED, NOW).do is Do.DRAIN


@dataclass
class World:
    """Instances that do what they are told when Hypothesis lets them."""

    size: int
    members: dict[str, Member] = field(default_factory=dict)

    def seen(self, failing: tuple[str, ...]) -> Seen:
        sides = ([name for name in self.members if name.startswith(side)] for side in ("new", "old"))
        new, old = (tuple(self.members[name] for name in names) for names in sides)
        return Seen(new, old, self.size, failing)

    def obey(self, move: Move) -> None:
        match move.do:
            case Do.START:
                name = move.instance or f"old-{len(self.members)}"
                assert name not in self.members or not self.members[name].is_up
                self.members[name] = Member(name)
            case Do.DRAIN:
                self.members[move.instance] = replace(self.members[move.instance], is_going=True)

    def go_on(self, is_well: bool) -> None:
        """Whoever starts is ready if it is well, whoever goes is gone."""
        for name, member in self.members.items():
            if member.is_going:
                self.members[name] = gone(name)
            elif member.is_up and is_well:
                self.members[name] = replace(member, is_ready=True)


@settings(deadline=None)
@given(
    size=st.integers(1, 5),
    ticks=st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from(list(Ask)), st.integers(0, 4)), max_size=60),
    auto=st.booleans(),
)
def test_every_upgrade_keeps_enough_instances_and_comes_to_an_end(
    size: int, ticks: list[tuple[bool, bool, Ask, int]], auto: bool
) -> None:
    """Whatever fails, is asked for and takes long: never fewer that serve than there shall be, never more than one more
    than that are up; and left alone it ends."""
    new, old = (tuple(f"{side}-{number}" for number in range(size)) for side in ("new", "old"))
    world = World(size, {**{name: gone(name) for name in new}, **{name: up(name) for name in old}})
    limits = replace(LIMITS, auto_rollback=auto)
    now, upgrade = NOW, Upgrade("1", "local", "one", "two", {}, size, old, new, limits, moved_ms=NOW, phase_ms=NOW)
    calm = [(True, True, Ask.ABORT, 0)] + [(True, True, Ask.NOTHING, 0)] * (6 * size + 3)
    for goes_on, is_well, ask, failed in [*ticks, *calm]:
        now += 1_000
        if goes_on:
            world.go_on(is_well)
        seen = world.seen(tuple(f"m{number}" for number in range(failed)))
        upgrade = course(replace(upgrade, asked=ask), seen, now)
        if upgrade.phase.is_over:
            break
        world.obey(next_move(upgrade, seen, now))
        serving = [member for member in world.members.values() if member.is_ready and not member.is_going]
        assert len(serving) >= size
        assert sum(member.is_up and not member.is_going for member in world.members.values()) <= size + 1
    assert upgrade.phase.is_over
    stay = "new" if upgrade.phase is Phase.DONE else "old"
    assert [name[:3] for name, member in world.members.items() if member.is_up] == [stay] * size
    assert Upgrade.decode(upgrade.encode()) == upgrade
