"""What an upgrade does to a mesh on this machine beside those who look after it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mmctl.errors import Failed, Unavailable
from mmctl.local import plan
from mmctl.local.etcd import Binary
from mmctl.local.home import Home
from mmctl.local.plan import Wish
from mmctl.local.process import Process
from mmctl.local.stop import unwanted
from mmctl.local.watch import Watch
from mmctl.progress import Progress
from mmctl.upgrade.processes import Processes
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.upgrade.rules import Member, Seen

GONE = Process(2**22 + 1, "never")
"""A pid that no system gives."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A mesh of two that is up by its file, and whose processes are all gone."""
    made = Home(tmp_path / "data")
    made.path.mkdir()
    state = plan.make(Wish(2, "fake"), made, Binary("/etcd", (3, 5, 9), ""), None, "1")
    services = tuple(replace(service, process=GONE) for service in state.services)
    made.write(replace(state, services=services, phase="up"))
    return made


def upgrade(home: Home) -> Upgrade:
    plan = {"change": {"version": "2"}, "data_dir": str(home.path)}
    return Upgrade("1", "local", "one", "two", plan, 2, ("mesh-0", "mesh-1"), ("mesh-2", "mesh-3"))


def test_watch_bears_that_what_it_would_start_again_is_taken_out(home: Home) -> None:
    watch = Watch(home, should_restart=True, progress=Progress(is_silent=True))
    assert watch.look(0.0)
    home.change(lambda state: replace(state, services=()))
    assert watch.look(10.0)


def test_watch_does_not_tell_of_what_is_told_to_go_while_it_looks(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever takes something down writes that first; the processes may be gone in the same moment."""
    looks, read = [home.read()], Home.read
    home.change(lambda state: unwanted(state, [service.name for service in state.services]))
    monkeypatch.setattr(Home, "read", lambda home: looks.pop() if looks else read(home))
    assert Watch(home, should_restart=True, progress=Progress()).look(0.0)
    assert capsys.readouterr().err == ""


def test_instances_that_nobody_planned_are_of_the_former_version(home: Home) -> None:
    state = home.read()
    assert state is not None
    more = tuple(
        replace(service, name=f"x{service.name}", instance="mesh-9") for service in state.of_instance("mesh-0")
    )
    home.change(lambda state: replace(state, services=(*state.services, *more)))
    seen = asyncio.run(Processes(home).look(upgrade(home), {}))
    assert [member.id for member in seen.old] == ["mesh-0", "mesh-1", "mesh-9"]
    assert seen.new == (Member("mesh-2", is_up=False), Member("mesh-3", is_up=False))


def test_former_services_are_kept_before_anything_goes_and_stay(home: Home) -> None:
    processes, nothing = Processes(home), Seen(size=2)
    held = replace(upgrade(home), phase=Phase.HELD)
    asyncio.run(processes.act(held, nothing, 0))
    state = home.read()
    assert state is not None
    assert {service.name for service in state.former} == {"mesh-0", "mesh-0-runtime", "mesh-1", "mesh-1-runtime"}
    assert {service.process for service in state.former} == {None}
    home.change(lambda state: replace(state, services=state.services[:1]))
    # One more of the former version was started meanwhile.
    asyncio.run(processes.act(replace(held, old=(*held.old, "mesh-4")), nothing, 0))
    after = home.read()
    assert after is not None
    assert after.former == state.former


def test_another_mmctl_at_work_is_waited_for_and_a_mesh_that_is_down_is_not(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmctl.local.home._LOCK_WAIT_S", 0.0)
    processes, held = Processes(home), replace(upgrade(home), phase=Phase.HELD)
    with home.locked(), pytest.raises(Unavailable, match="another mmctl is at work"):
        asyncio.run(processes.act(held, Seen(), 0))
    with home.locked(), pytest.raises(Unavailable, match="another mmctl is at work"):
        asyncio.run(processes.finish(replace(held, phase=Phase.DONE)))
    home.change(lambda state: replace(state, phase="down"))
    with pytest.raises(Failed, match="is not up any more; the upgrade stays as it is"):
        asyncio.run(processes.look(held, {}))


def test_it_is_over_when_what_left_is_no_part_of_the_mesh(home: Home) -> None:
    home.change(
        lambda state: replace(
            state, services=(*state.services, *(
                replace(service, name=f"x{service.name}", instance="mesh-2", env={"SHUTDOWN_TIMEOUT_MS": "7000"})
                for service in state.of_instance("mesh-0")
            ))
        )
    )  # fmt: skip
    asyncio.run(Processes(home).finish(replace(upgrade(home), phase=Phase.DONE)))
    state = home.read()
    assert state is not None
    assert (state.instances, state.drain_s) == (("mesh-2",), 7.0)
