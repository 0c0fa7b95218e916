"""What comes next in an upgrade: go on, hold, roll back, done; functions of what is seen and the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mmctl.sizes import count, shortened
from mmctl.upgrade.record import Ask, Hold, Phase, Upgrade


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of one side: ``models`` and ``loads`` as the registry has them, ``text`` why it is not ready."""

    id: str
    is_up: bool = True
    is_ready: bool = False
    is_going: bool = False
    models: int = 0
    loads: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at everything. ``new`` are instances of the version that comes, ``old`` of that before."""

    new: tuple[Member, ...] = ()
    old: tuple[Member, ...] = ()
    size: int = 0
    """How many instances there shall be."""
    failing: tuple[str, ...] = ()
    """Models that fail to load on new instances and did not on old ones."""
    failed_ms: Mapping[str, int] = field(default_factory=dict)
    """When a load failed last on each new instance on which one did, by the clock of that instance."""
    slow: str = ""
    """The load on a new instance that has gone on longest: what and where."""
    slow_ms: int = 0
    stuck: str = ""
    """Why a new instance cannot become ready; empty: nothing is known to be in its way."""
    comes: str = ""
    """What the new instances are of (a replica set); empty: not known, or there is nothing to tell apart."""
    is_wanted: bool = True
    """Whether that is what was begun, as far as there is a way to tell."""
    is_former: bool = False
    """Whether the version before is what whoever replaces instances (a Deployment's controller) goes by."""
    is_settled: bool = True
    """Whether nobody else (a Deployment's controller) has still to act on what it was told."""


class Do(StrEnum):
    """One thing that is done to instances on a machine."""

    WAIT = "wait"
    START = "start"
    DRAIN = "drain"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Move:
    """What is done next, to which instance (empty: another one of the version before, called as nobody is) and why."""

    do: Do
    instance: str
    reason: str


def course(upgrade: Upgrade, seen: Seen, now: int) -> Upgrade:
    """The upgrade with its phase as it has to be now, the reason told; whatever was asked for is answered."""
    upgrade = _moved(upgrade, seen, now)
    if not upgrade.comes and seen.is_wanted:
        upgrade = replace(upgrade, comes=seen.comes)
    asked, upgrade = upgrade.asked, replace(upgrade, asked=Ask.NOTHING)
    if upgrade.phase.is_over:
        return upgrade
    if upgrade.phase is Phase.ROLLING_BACK:
        if is_complete(seen.old, seen.new, seen):
            return _turned(upgrade, Phase.ROLLED_BACK, f"{upgrade.former} is back", now)
        return _back(upgrade if asked is Ask.NOTHING else replace(upgrade, moved_ms=now), seen, now)
    if asked is Ask.ABORT:
        by = f" by {upgrade.asked_by}" if upgrade.asked_by else ""
        return _turned(upgrade, Phase.ROLLING_BACK, f"asked for{by}", now)
    if seen.is_former and (upgrade.new or upgrade.comes):
        return _turned(upgrade, Phase.ROLLING_BACK, "somebody else has undone the rollout", now)
    if asked is Ask.RESUME:
        if upgrade.hold is Hold.OTHER and seen.comes:
            upgrade = replace(upgrade, comes=seen.comes, wanted=seen.comes)
        counted_ms = {**upgrade.counted_ms, **{name: at_ms + 1 for name, at_ms in seen.failed_ms.items()}}
        upgrade = replace(upgrade, counted_ms=counted_ms, moved_ms=now)
        return _turned(upgrade, Phase.ROLLING, "goes on as asked for: failures until now do not count", now)
    hold, text = trouble(upgrade, seen, now)
    if hold is not Hold.NONE:
        if upgrade.limits.auto_rollback:
            return _turned(upgrade, Phase.ROLLING_BACK, text, now)
        return _turned(replace(upgrade, hold=hold), Phase.HELD, text, now)
    if upgrade.phase is Phase.HELD:
        return _turned(
            replace(upgrade, moved_ms=now), Phase.ROLLING, f"goes on: no longer so that {upgrade.reason}", now
        )
    if is_complete(seen.new, seen.old, seen):
        return _turned(upgrade, Phase.DONE, f"all of it is {upgrade.wanted}", now)
    return upgrade


def is_given_up(upgrade: Upgrade, now: int) -> bool:
    """Whether a rollback has been stalled for so long that whoever carries it out need not wait any more."""
    is_stalled = upgrade.phase is Phase.ROLLING_BACK and upgrade.hold is Hold.STALLED
    return is_stalled and _still_ms(upgrade, now) > 2 * upgrade.limits.max_wait_ms


def trouble(upgrade: Upgrade, seen: Seen, now: int) -> tuple[Hold, str]:
    """Why the upgrade must not go on, NONE if nothing is in its way. What held it up before may do so still."""
    limits = upgrade.limits
    if len(seen.failing) > limits.max_failed:
        models = count(len(seen.failing), "model")
        fail = "fails" if len(seen.failing) == 1 else "fail"
        text = f"{models} {fail} to load on new instances (limit {limits.max_failed}): {shortened(seen.failing)}"
        return Hold.FAILED, text
    if seen.comes not in ("", upgrade.comes):
        begun = upgrade.comes or upgrade.wanted
        return Hold.OTHER, f"somebody else has applied another version: {seen.comes} comes instead of {begun}"
    if upgrade.hold is Hold.OTHER and not seen.comes:  # the controller has still to see that it is paused
        return upgrade.hold, upgrade.reason
    if seen.stuck:
        return Hold.STUCK, seen.stuck
    if seen.slow_ms > limits.max_wait_ms:
        return Hold.SLOW, f"{seen.slow} has been loading for {_seconds(seen.slow_ms, limits.max_wait_ms)}"
    if upgrade.phase is Phase.HELD:
        # A Deployment that is paused no longer says what is wrong with it: only that something moves ends such a hold.
        has_moved = upgrade.moved_ms > upgrade.phase_ms
        if upgrade.hold in (Hold.STUCK, Hold.STALLED) and not has_moved:
            return upgrade.hold, upgrade.reason
    elif now - upgrade.moved_ms > limits.max_wait_ms and not is_complete(seen.new, seen.old, seen):
        waited = _seconds(now - upgrade.moved_ms, limits.max_wait_ms)
        return (
            Hold.STALLED,
            f"nothing has moved for {waited}: {_awaited(seen.new, seen.old) or 'no new instance comes'}",
        )
    return Hold.NONE, ""


def is_complete(stay: tuple[Member, ...], leave: tuple[Member, ...], seen: Seen) -> bool:
    """Whether those that stay are all there and ready, and none is left that was to leave."""
    ready = sum(member.is_up and member.is_ready and not member.is_going for member in stay)
    return seen.is_settled and ready >= seen.size and not any(member.is_up for member in leave)


def next_move(upgrade: Upgrade, seen: Seen, now: int) -> Move:
    """What to do next on a machine: one instance more than there shall be at most, one change at a time."""
    is_back = upgrade.phase is Phase.ROLLING_BACK
    comes, leaves = (seen.old, seen.new) if is_back else (seen.new, seen.old)
    if upgrade.phase is Phase.HELD:
        return Move(Do.WAIT, "", upgrade.reason)
    come, there = (
        [member for member in side if member.is_up and not member.is_going] for side in (comes, leaves)
    )  # fmt: skip
    is_short = len(come) < seen.size and len(come) + len(there) <= seen.size
    if is_back and is_short:
        # Those that go do not come back, and may not find anybody to take over from them: somebody else has to come.
        missing = [member for member in comes if not member.is_up]
        return Move(Do.START, missing[0].id if missing else "", _present(come, there, seen))
    for member in (*comes, *leaves):
        if member.is_going and member.is_up:
            left = f", {count(member.models, 'model')} left" if member.models else ""
            return Move(Do.WAIT, member.id, f"{member.id} drains{left}")
    if is_back:
        # What was never ready serves nobody: it need not be replaced before it goes.
        for member in there:
            if not member.is_ready:
                return Move(Do.DRAIN, member.id, f"{member.id} is not ready, nobody needs it")
    for member in come:
        if not member.is_ready:
            return Move(
                Do.WAIT, member.id, f"{member.id} is not ready yet" + (f": {member.text}" if member.text else "")
            )
    # Held or turned back, it has already been seen what is wrong.
    if not is_back and now - upgrade.moved_ms < upgrade.limits.settle_ms and come:
        return Move(Do.WAIT, come[-1].id, f"lets {come[-1].id} settle")
    missing = [member for member in comes if not member.is_up]
    if is_short and missing:
        return Move(Do.START, missing[0].id, _present(come, there, seen))
    if there:
        return Move(Do.DRAIN, there[0].id, f"{len(come) + len(there)} instances are there, {seen.size} are needed")
    return Move(Do.FINISH, "", "nothing is left to do")


def _back(upgrade: Upgrade, seen: Seen, now: int) -> Upgrade:
    """A rollback that is not complete: stalled while nothing gets on. What can be done for it is done all the same."""
    limit_ms = upgrade.limits.max_wait_ms
    still_ms = _still_ms(upgrade, now)
    if still_ms <= limit_ms:
        if upgrade.hold is Hold.NONE:
            return upgrade
        return replace(upgrade, hold=Hold.NONE, reason="goes on").with_event(now, "no longer stalled: goes on")
    if upgrade.hold is not Hold.NONE:
        return upgrade
    awaited = _awaited(seen.old, seen.new) or upgrade.reason
    text = f"going back, nothing has moved for {_seconds(still_ms, limit_ms)}: {awaited}"
    return replace(upgrade, hold=Hold.STALLED, reason=text).with_event(now, f"stalled: {text}")


def _still_ms(upgrade: Upgrade, now: int) -> int:
    """For how long a phase has gone on with nobody coming or going."""
    return now - max(upgrade.moved_ms, upgrade.phase_ms)


def _present(come: list[Member], there: list[Member], seen: Seen) -> str:
    return f"{len(come) + len(there)} of {seen.size} instances are there"


def _moved(upgrade: Upgrade, seen: Seen, now: int) -> Upgrade:
    """Note when somebody came or went."""
    ready = ",".join(sorted(member.id for member in (*seen.new, *seen.old) if member.is_up and member.is_ready))
    # What is started over and over to bring the former version back, and ends each time, brings nothing back.
    sides = seen.new if upgrade.phase is Phase.ROLLING_BACK else (*seen.new, *seen.old)
    there = ",".join(sorted(member.id for member in sides if member.is_up))
    mark = f"{ready}|{there}"
    return upgrade if mark == upgrade.mark else replace(upgrade, mark=mark, moved_ms=now)


def _turned(upgrade: Upgrade, phase: Phase, reason: str, now: int) -> Upgrade:
    if phase is upgrade.phase:
        return replace(upgrade, reason=reason)
    if phase is not Phase.HELD:
        upgrade = replace(upgrade, hold=Hold.NONE)
    told = f"{phase.value.replace('_', ' ')}: {reason}"
    return replace(upgrade, phase=phase, reason=reason, phase_ms=now).with_event(now, told)


def _awaited(comes: tuple[Member, ...], leaves: tuple[Member, ...]) -> str:
    for member in comes:
        if member.is_up and not member.is_ready:
            return f"{member.id} is not ready" + (f" ({member.text})" if member.text else "")
    for member in leaves:
        if member.is_up and member.is_going:
            return f"{member.id} drains"
    return ""


def _seconds(took_ms: int, limit_ms: int) -> str:
    return f"{took_ms // 1000} s (limit {limit_ms // 1000} s)"
