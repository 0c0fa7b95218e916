"""Virtual models among a few instances: when what shall answer does, and who sees to that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import (
    Done,
    Failed,
    Kept,
    Register,
    Status,
    VModelInfo,
)
from meshcore.commands import Load
from meshcore.constraints import TypeConstraint
from meshcore.errors import Code, Overrun
from meshcore.events import Constrained, Seen, StoreFound, StoreLost, Ticked
from meshcore.kv import ANY, DELETE, Write
from meshcore.reasons import Rule
from meshcore.settings import Settings
from meshcore.units import NEVER
from meshcore.vmodel_asks import AskVModel, ModelInfo, SetVModel, Transit
from meshcore.vmodel_record import VModelRecord, VModelStatus
from tests.meshcore import stored
from tests.meshcore.stored import MODELS, VMODELS
from tests.meshcore.vmodel_mesh import SETTINGS, Mesh, but_loads, references


@pytest.mark.parametrize(("copies", "wanted"), [(1, 1), (2, 2), (3, 3)])
def test_what_follows_has_as_many_copies_as_what_answers_before_it_does(copies: int, wanted: int) -> None:
    """D-23."""
    mesh = Mesh(3)
    mesh.load("old", copies)
    mesh.set("v", "old")
    assert mesh.set("v", "new").status is VModelStatus.TRANSITIONING
    mesh.go_on(1_000)
    assert mesh.vmodel("v") == VModelRecord(active="new", target="new")
    assert len(stored.records(mesh.kv)["new"].ready) == wanted
    assert references(mesh) == {"new": 1}


def test_it_is_switched_with_fewer_copies_where_no_more_fit_or_are_allowed() -> None:
    mesh = Mesh(3)
    mesh.done(Register("new", "t", "p", kept=Kept(max_copies=2)))
    mesh.load("old", 3)
    mesh.set("v", "old")
    mesh.set("v", "new")
    mesh.go_on(1_000)
    assert mesh.vmodel("v").active == "new"
    assert len(stored.records(mesh.kv)["new"].ready) == 2


def test_it_is_switched_with_fewer_copies_when_the_others_take_too_long() -> None:
    mesh = Mesh(3)
    mesh.load("old", 2)
    mesh.set("v", "old")
    mesh.ask(mesh.live[0], SetVModel("v", {"new": 100}))
    until = mesh.now + SETTINGS.vmodel_match_ms
    slow = ""
    while mesh.now < until:
        for each in mesh.pending:
            if isinstance(each.what, Load) and stored.records(mesh.kv)["new"].ready:
                slow = each.host.id  # its load lasts
        todo = [each for each in mesh.pending if not (isinstance(each.what, Load) and each.host.id == slow)]
        if todo:
            mesh.deliver(todo[0])
        elif not sum(mesh.watch(host, prefix) for host in mesh.live for prefix in stored.WATCHED):
            assert mesh.vmodel("v").is_in_transition
            mesh.advance(1_000)
    assert slow
    mesh.go_on(SETTINGS.vmodel_retry_ms)
    assert mesh.vmodel("v").active == "new"


def test_one_that_has_no_copy_is_switched_at_once_by_whomever() -> None:
    mesh = Mesh(2)
    mesh.set("v", "old")
    assert mesh.set("v", "new", host=1).status is VModelStatus.DEFINED
    assert references(mesh) == {"new": 1}
    assert mesh.set("v", "new").active_status.status is Status.NOT_LOADED  # type: ignore[union-attr]


def test_one_that_loses_its_last_copy_in_a_transition_is_switched_at_once() -> None:
    mesh = Mesh(2)
    mesh.load("old")
    mesh.set("v", "old")
    mesh.bad = {"new"}
    mesh.set("v", "new")
    mesh.go_on(SETTINGS.vmodel_retry_ms)
    assert mesh.vmodel("v").has_failed
    for host in mesh.live:
        host.node.copies.remove("old", "a test wants it")
        mesh.feed(host, Ticked())
    mesh.go_on(SETTINGS.vmodel_failed_ms)
    assert mesh.vmodel("v") == VModelRecord(active="new", target="new")


def test_a_target_that_fails_is_told_and_tried_again_until_it_loads() -> None:
    mesh = Mesh(2)
    mesh.load("old")
    mesh.set("v", "old")
    mesh.bad = {"new"}
    waiting = mesh.ask(mesh.live[1], SetVModel("v", {"new": 100}, is_sync=True))
    mesh.go_on(SETTINGS.vmodel_retry_ms)
    assert isinstance(waiting.end, Done)
    info = waiting.end.answer
    assert isinstance(info, VModelInfo)
    assert (info.status, info.active, info.target) == (VModelStatus.TRANSITION_FAILED, "old", "new")
    assert info.target_status is not None
    assert info.target_status.status is Status.LOADING_FAILED
    assert references(mesh) == {"old": 1, "new": 1}
    mesh.bad = set()
    mesh.go_on(SETTINGS.failure_expiry_ms + SETTINGS.vmodel_failed_ms)
    assert mesh.vmodel("v") == VModelRecord(active="new", target="new")
    assert references(mesh) == {"new": 1}


def test_a_target_that_fits_nowhere_has_failed_though_no_load_of_it_began() -> None:
    mesh = Mesh(2)
    mesh.load("old")
    mesh.set("v", "old")
    mesh.done(Register("new", "t", "p", kept=Kept(size_bytes=1 << 40)))
    mesh.set("v", "new")
    mesh.go_on(SETTINGS.vmodel_retry_ms)
    info = mesh.done(AskVModel("v"))
    assert isinstance(info, VModelInfo)
    assert info.status is VModelStatus.TRANSITION_FAILED
    assert info.target_status is not None
    assert info.target_status.status is Status.LOADING_FAILED


def test_a_target_that_nobody_may_load_has_failed_though_no_load_of_it_did() -> None:
    mesh = Mesh(2)
    mesh.load("old")
    mesh.set("v", "old")
    for host in mesh.live:
        mesh.feed(host, Constrained({"t": TypeConstraint.of(["gpu"], [])}))
    mesh.set("v", "new")
    mesh.go_on(SETTINGS.vmodel_retry_ms)
    info = mesh.done(AskVModel("v"))
    assert isinstance(info, VModelInfo)
    assert (info.status, info.active) == (VModelStatus.TRANSITION_FAILED, "old")
    assert info.target_status is not None
    assert info.target_status.status is Status.LOADING, "as clients of ModelMesh know it"
    for host in mesh.live:
        mesh.feed(host, Constrained({}))
    mesh.go_on(2 * SETTINGS.vmodel_failed_ms)
    assert mesh.vmodel("v").active == "new"


def test_who_waits_for_too_long_is_told_and_the_transition_goes_on() -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.set("v", "old")
    waiting = mesh.ask(mesh.live[0], SetVModel("v", {"new": 100}, is_sync=True))
    while not isinstance(waiting.end, Failed):
        pending = [each for each in mesh.pending if not isinstance(each.what, Load)]
        if pending:
            mesh.deliver(pending[0])
        elif not sum(mesh.watch(mesh.live[0], prefix) for prefix in (MODELS, VMODELS)):
            mesh.advance(SETTINGS.vmodel_wait_ms)
            mesh.time_out(waiting)
    assert isinstance(waiting.end.error, Overrun)
    assert waiting.end.error.code is Code.UNKNOWN
    assert mesh.vmodel("v").is_in_transition


def test_a_target_that_is_taken_out_of_the_store_is_waited_for() -> None:
    """Nobody may unregister it; whoever does all the same gets no answer from it."""
    mesh = Mesh(1)
    mesh.load("old")
    mesh.set("v", "old")
    mesh.bad = {"new"}
    mesh.set("v", "new")
    mesh.kv.commit([Write(MODELS + "new", ANY, DELETE)])
    mesh.go_on(100_000)
    info = mesh.done(AskVModel("v"))
    assert isinstance(info, VModelInfo)
    assert (info.active, info.target_status and info.target_status.status) == ("old", Status.NOT_FOUND)
    assert mesh.set("v", "new", info=ModelInfo("t", "p")).target == "new"
    assert references(mesh) == {"old": 1, "new": 1}


def test_more_virtual_models_than_are_seen_to_at_once_take_turns() -> None:
    mesh = Mesh(2, Settings(slice_models=1, fill_period_ms=0, vmodel_batch=1))
    mesh.load("old")
    for name in "vwx":
        mesh.set(name, "old")
    for name in "vwx":
        mesh.set(name, "new")
    mesh.go_on(100_000)
    assert {mesh.vmodel(name).active for name in "vwx"} == {"new"}
    assert references(mesh) == {"new": 3}


def test_whoever_comes_to_lead_goes_on_and_whoever_stops_does_not() -> None:
    mesh = Mesh(2)
    mesh.load("old")
    mesh.set("v", "old")
    first = next(host for host in mesh.live if host.node.upkeep.is_leading)
    mesh.drain(first)
    mesh.set("v", "new", host=mesh.live.index(first))
    mesh.go_on(1_000)
    assert mesh.vmodel("v").active == "new"
    assert all(reason.rule is not Rule.VMODEL or reason.cause != "what shall answer is ready"
               for reason in first.node.log.since(0))  # fmt: skip


@pytest.mark.parametrize(
    "asked",
    [
        Transit("nobody", {"old": 100}, {"new": 100}),
        Transit("v", {"old": 100}, {"third": 100}),
        Transit("v", {"old": 100}, {"new": 100}),
        Transit("w", {"old": 100}, {"gone": 100}),
        Transit("w", {"old": 100}, {"gone": 100}, is_failure=True),
    ],
)
def test_a_transition_that_is_another_one_by_now_or_not_ready_is_left(asked: Transit) -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.bad = {"new"}
    mesh.set("v", "old")
    mesh.set("v", "new")
    going = VModelRecord(active="old", target="gone", has_failed=True)
    mesh.kv.commit([Write(VMODELS + "w", ANY, going.encode())])
    mesh.go_on(0)
    before = {name: record.active for name, record in stored.vmodels(mesh.kv).items()}
    revision = mesh.kv.get(VMODELS + "w")
    mesh.done(asked)
    assert {name: record.active for name, record in stored.vmodels(mesh.kv).items()} == before
    assert mesh.kv.get(VMODELS + "w") == revision


def test_what_no_leader_can_write_is_not_begun_while_the_store_is_away() -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.set("v", "old")
    node = mesh.live[0].node
    mesh.feed(mesh.live[0], StoreLost())
    node.vmodels.see(Seen("v", VModelRecord(active="old", target="new").encode(), mesh.kv.revision + 1))
    assert len(node.transitions) == 1
    assert node.transitions.next_wake() == NEVER
    mesh.feed(mesh.live[0], StoreFound())
    assert node.transitions.next_wake() <= mesh.now


def test_so_many_are_prepared_at_once_and_no_more() -> None:
    mesh = Mesh(1, Settings(slice_models=1, fill_period_ms=0, vmodel_batch=1))
    mesh.load("old")
    for name in "vw":
        mesh.set(name, "old")
    for name, model in (("v", "new"), ("w", "third")):
        mesh.ask(mesh.live[0], SetVModel(name, {model: 100}))
    but_loads(mesh)
    assert [model for model in ("new", "third") if stored.records(mesh.kv)[model].copies] == ["new"]
    mesh.go_on(100_000)
    assert [mesh.vmodel(name).active for name in "vw"] == ["new", "third"]


def test_of_several_models_only_those_are_loaded_that_are_not() -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.load("third")
    mesh.set("v", "old")
    mesh.ask(mesh.live[0], SetVModel("v", {"new": 50, "third": 50}))
    but_loads(mesh)
    prepared = [reason.model for reason in mesh.live[0].node.log.since(0) if "vmodel" in reason.inputs]
    assert set(prepared) == {"new"}
    mesh.go_on(1_000)
    assert mesh.vmodel("v").shares == {"new": 50, "third": 50}


def test_while_the_store_is_asked_to_end_it_nothing_else_is_done_about_it() -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.set("v", "old")
    mesh.ask(mesh.live[0], SetVModel("v", {"new": 100}))
    node = mesh.live[0].node
    while not any(known.is_ending for known in node.transitions._open.values()):
        if mesh.pending:
            mesh.deliver(mesh.pending[0])
        elif not sum(mesh.watch(mesh.live[0], prefix) for prefix in stored.WATCHED):
            mesh.advance(10)
    begun = len(mesh.flows)
    node.transitions.model_seen("new")
    mesh.advance(1_000)
    assert len(mesh.flows) == begun
    node.transitions.prepared("nobody", True)
    mesh.go_on(0)
    assert mesh.vmodel("v").active == "new"


@pytest.mark.parametrize(("times", "active"), [(1, "new"), (200, "old")])
def test_an_end_that_others_write_in_between_is_tried_again_and_then_left(times: int, active: str) -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.load("new")
    mesh.set("v", "old")
    counted = replace(stored.records(mesh.kv)["new"], references=1)
    mesh.kv.commit([Write(MODELS + "new", ANY, counted.encode())])
    mesh.kv.commit([Write(VMODELS + "v", ANY, VModelRecord(active="old", target="new").encode())])
    mesh.watch(mesh.live[0], MODELS)
    running = mesh.ask(mesh.live[0], Transit("v", {"old": 100}, {"new": 100}))
    for number in range(times):
        mine = [each for each in mesh.pending if each.flow is running]
        if not mine:
            break
        running.steps = 0
        mesh.deliver(mine[0])
        used = stored.records(mesh.kv)["old"].used_at(mesh.now + number)
        mesh.kv.commit([Write(MODELS + "old", ANY, used.encode())])
    while mine := [each for each in mesh.pending if each.flow is running]:
        mesh.deliver(mine[0])
    assert running.is_over
    assert mesh.vmodel("v").active == active
