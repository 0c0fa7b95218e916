"""An upgrade of a mesh on this machine before it begins: what it is to do, and the record that it begins with."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path

from mmctl.errors import Failed, Usage
from mmctl.local.home import Home
from mmctl.sizes import parse_size
from mmctl.upgrade import outlook
from mmctl.upgrade.change import Change, check, differences, new_names
from mmctl.upgrade.processes import Processes
from mmctl.upgrade.reach import Reach
from mmctl.upgrade.record import Limits, Upgrade
from mmctl.upgrade.views import Plan

KIND = "local"


async def prepare(reach: Reach, change: Change, limits: Limits) -> tuple[Plan, Upgrade]:
    """What ``change`` comes to; Usage, Failed where it cannot be."""
    assert reach.home is not None
    assert reach.state is not None
    check(change)
    change = _with_program(change)
    state = reach.state
    rows = differences(change, state)
    if not rows:
        raise Failed("nothing would be another: the mesh runs like that already")
    known = {instance.id: instance for instance in await reach.cluster.instances()}
    missing = [name for name in state.instances if name not in known or known[name].phase != "ready"]
    if missing:
        raise Failed(f"{', '.join(missing)} not ready: an upgrade begins with all instances well (`mmctl restart`)")
    old = [known[name] for name in state.instances]
    new = new_names(state)
    capacity = parse_size(change.capacity) if change.capacity else min(instance.capacity_bytes for instance in old)
    steps = outlook.steps(old, new, capacity)
    former, wanted = _labels(old[0].version, change, rows)
    upgrade = Upgrade(
        id="", kind=KIND, former=former, wanted=wanted, size=len(old), old=state.instances, new=new, limits=limits,
        plan={"host": socket.gethostname(), "data_dir": str(reach.home.path), "change": change.plain},
    )  # fmt: skip
    return Plan(KIND, former, wanted, rows, steps, outlook.warnings(steps)), upgrade


def driver(upgrade: Upgrade) -> Processes:
    """What carries it out; Failed on another machine."""
    host, data_dir = upgrade.plan["host"], Path(upgrade.plan["data_dir"])
    if host != socket.gethostname():
        raise Failed(f"that upgrade is of the mesh in {data_dir} on {host}: go on with it there")
    return Processes(Home(data_dir))


def _with_program(change: Change) -> Change:
    """The change with the whole path of its Python; Usage where there is none."""
    if not change.python:
        return change
    found = shutil.which(change.python)
    if found is None:
        raise Usage(f"--python {change.python}: no such program")
    return replace(change, python=str(Path(found).absolute()))


def _labels(version: str, change: Change, rows: list[tuple[str, str, str]]) -> tuple[str, str]:
    """What people call the two versions: by their labels, else by the first thing that is another."""
    if change.version:
        return version or "unlabelled", change.version
    name, before, after = rows[0]
    return f"{name} {before or '(none)'}", f"{name} {after or '(none)'}"
