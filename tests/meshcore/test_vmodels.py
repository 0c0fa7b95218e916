"""Virtual models among a few instances: what answers, when it is switched, and who sees to that when a leader dies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.asks import (
    Answered,
    Done,
    Failed,
    Request,
    Status,
    Unregister,
    VModelInfo,
)
from meshcore.capacity import CacheParams
from meshcore.errors import Code, MeshError, StoreAway
from meshcore.kv import ANY, DELETE, Write
from meshcore.me import Me
from meshcore.node import Node
from meshcore.reasons import Rule
from meshcore.settings import Settings
from meshcore.units import NEVER
from meshcore.vmodel_asks import AskVModel, DeleteVModel, ModelInfo, SetVModel
from meshcore.vmodel_record import VModelRecord, VModelStatus
from tests.meshcore import stored
from tests.meshcore.hosts import Running
from tests.meshcore.making import make_node
from tests.meshcore.stored import MODELS, VMODELS
from tests.meshcore.vmodel_mesh import Mesh, references

# -- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [0, 1])
def test_a_store_that_does_not_answer_leaves_nothing_half_done(how: int) -> None:
    """``how``: it took the write all the same, and only its answer was lost."""
    mesh = Mesh(2)
    running = mesh.ask(mesh.live[0], SetVModel("v", {"made": 100}, info=ModelInfo("t", "p", is_auto_delete=True)))
    mesh.deliver(mesh.pending[0])  # what stands there
    mesh.deliver(mesh.pending[0], is_well=False, how=how)
    mesh.go_on(0)
    assert isinstance(running.end, Failed)
    assert isinstance(running.end.error, StoreAway)
    assert ("v" in stored.vmodels(mesh.kv)) == ("made" in stored.records(mesh.kv)) == bool(how)
    mesh.set("v", "made", info=ModelInfo("t", "p", is_auto_delete=True))
    assert references(mesh) == {"made": 1}
    mesh.done(DeleteVModel("v"))
    assert "made" not in stored.records(mesh.kv)
    silent = mesh.ask(mesh.live[0], AskVModel("v"))
    mesh.deliver(mesh.pending[0], is_well=False, how=0)
    assert isinstance(silent.end, Failed)
    assert isinstance(silent.end.error, StoreAway)


def test_one_that_others_write_all_the_time_is_left_to_them() -> None:
    mesh = Mesh(1)
    running = mesh.ask(mesh.live[0], SetVModel("v", {"old": 100}))
    deleting: Running | None = None
    for number in range(200):
        if not mesh.pending:
            break
        mesh.kv.commit([Write(MODELS + "old", ANY, stored.records(mesh.kv)["old"].used_at(mesh.now + number).encode())])
        running.steps = 0
        mesh.deliver(mesh.pending[0])
    assert isinstance(running.end, Failed)
    assert running.end.error.code is Code.ABORTED
    mesh.go_on(0)
    mesh.set("v", "old")
    deleting = mesh.ask(mesh.live[0], DeleteVModel("v"))
    for number in range(200):
        if not [each for each in mesh.pending if each.flow is deleting]:
            break
        record = stored.records(mesh.kv)["old"].used_at(mesh.now + 1_000 + number)
        mesh.kv.commit([Write(MODELS + "old", ANY, record.encode())])
        deleting.steps = 0
        mesh.deliver(next(each for each in mesh.pending if each.flow is deleting))
    assert isinstance(deleting.end, Failed)
    assert deleting.end.error.code is Code.ABORTED


def test_what_a_model_that_cannot_be_read_stands_in_the_way_of() -> None:
    """To delete the virtual model is always possible; what cannot be read is left as it is."""
    mesh = Mesh(1)
    mesh.set("v", "old")
    mesh.kv.commit([Write(MODELS + "old", ANY, b"no json")])
    assert mesh.error(SetVModel("v", {"new": 100})).code is Code.FAILED_PRECONDITION
    mesh.done(DeleteVModel("v"))
    assert mesh.kv.get(MODELS + "old").value == b"no json"  # type: ignore[union-attr]
    assert stored.vmodels(mesh.kv) == {}


def test_a_record_that_is_spoilt_is_told_of_and_what_answered_goes_on() -> None:
    mesh = Mesh(1)
    mesh.load("old")
    mesh.set("v", "old")
    mesh.kv.commit([Write(VMODELS + "v", ANY, b"{")])
    mesh.go_on(0)
    node = mesh.live[0].node
    assert list(node.vmodels.bad) == ["v"]
    assert mesh.live[0].targets["v"].active == "old"
    assert [reason.model for reason in node.log.since(0) if reason.rule is Rule.UNREADABLE] == ["v"]
    assert node.vmodels.referring("old") == []
    mesh.done(DeleteVModel("v"))
    assert node.vmodels.bad == {}
    assert mesh.live[0].targets == {}


# -- requests ---------------------------------------------------------------------------------------------------


def test_a_name_that_was_only_just_made_is_asked_of_the_store() -> None:
    mesh = Mesh(2)
    mesh.ask(mesh.live[0], SetVModel("v", {"old": 100}))
    while "v" not in stored.vmodels(mesh.kv):
        mesh.deliver(mesh.pending[0])
    running = mesh.request(mesh.live[1], "v")
    mesh.go_on(0)
    assert isinstance(running.end, Done)
    unknown = mesh.error(Request("", vmodel="nobody"))
    assert (unknown.code, unknown.text) == (Code.NOT_FOUND, "vmodel not found")


def test_a_request_for_a_model_that_is_gone_goes_to_what_followed_it() -> None:
    mesh = Mesh(1)
    mesh.set("v", "new")
    answer = mesh.done(Request("gone", vmodel="v"))
    assert isinstance(answer, Answered)
    mesh.kv.commit([Write(VMODELS + "v", ANY, VModelRecord(active="gone", target="new").encode())])
    assert isinstance(mesh.done(Request("gone", vmodel="v")), Answered)
    mesh.kv.commit([Write(VMODELS + "v", ANY, VModelRecord(active="gone", target="lost").encode())])
    error = mesh.error(Request("gone", vmodel="v"))
    assert (error.code, error.text) == (Code.INTERNAL, "Target model lost of vmodel v not found")


# -- trials, lists ----------------------------------------------------------------------------------------------


def test_a_trial_checks_everything_and_changes_nothing() -> None:
    mesh = Mesh(1)
    before = mesh.kv.revision
    assert mesh.error(SetVModel("v", {"nobody": 100}, is_trial=True)).code is Code.NOT_FOUND
    mesh.done(SetVModel("v", {"old": 100}, is_trial=True, should_load=True))
    assert mesh.kv.revision == before
    mesh.set("v", "old")
    assert mesh.live[0].node.vmodels.referring("old") == [("v", VModelRecord(active="old", target="old"))]
    assert mesh.live[0].node.vmodels.referring("new") == []
    assert len(mesh.live[0].node.vmodels) == 1
    assert mesh.error(Unregister("old")).code is Code.FAILED_PRECONDITION


def test_waiting_is_over_when_the_virtual_model_goes_on_elsewhere_or_goes() -> None:
    for other in (SetVModel("v", {"third": 100}, is_forced=True), DeleteVModel("v")):
        mesh = Mesh(1)
        mesh.load("old")
        mesh.set("v", "old")
        waiting = mesh.ask(mesh.live[0], SetVModel("v", {"new": 100}, is_sync=True))
        while not mesh.live[0].following:
            mesh.deliver(mesh.pending[0])
        assert isinstance(waiting.end, type(None))
        mesh.done(other)
        assert isinstance(waiting.end, Done)
        assert not mesh.flows


# -- what is not to be ------------------------------------------------------------------------------------------


def test_who_only_reads_changes_nothing_and_says_so() -> None:
    def make(me: Me, settings: Settings, params: CacheParams, seed: int) -> Node:
        return make_node(replace(me, is_read_only=me.instance == "b"), settings, params, seed)

    mesh = Mesh(2, make=make)
    mesh.set("v", "old")
    for asked in (SetVModel("v", {"new": 100}), DeleteVModel("v")):
        error = mesh.error(asked, host=1)
        assert (error.code, error.text) == (Code.UNAVAILABLE, "model-mesh is in read-only mode")
    assert mesh.set("v", "old", host=1).status is VModelStatus.DEFINED
    assert mesh.live[1].node.transitions.next_wake() == NEVER


def test_what_names_nobody_is_empty_or_refused() -> None:
    mesh = Mesh(1)
    assert mesh.done(AskVModel("")) == mesh.done(AskVModel("v")) == mesh.done(DeleteVModel("")) == VModelInfo()
    assert mesh.done(DeleteVModel("v")) == VModelInfo()
    assert mesh.error(SetVModel("", {"old": 100})).text == "Must provide vModelId"
    assert mesh.error(SetVModel("v", {"made": 100}, info=ModelInfo(""))) == MeshError("", Code.UNKNOWN)
    assert mesh.error(SetVModel("v", {"old": 100}, shadow="old")).code is Code.INVALID_ARGUMENT
    mesh.set("v", "old", owner="me")
    assert mesh.done(AskVModel("v", "you")) == mesh.done(DeleteVModel("v", "you")) == VModelInfo()
    assert mesh.vmodel("v").owner == "me"


def test_one_whose_model_is_gone_is_asked_of_the_store_again() -> None:
    mesh = Mesh(1)
    mesh.kv.commit([Write(VMODELS + "v", ANY, VModelRecord(active="gone", target="gone").encode())])
    mesh.kv.commit([Write(VMODELS + "w", ANY, VModelRecord().encode())])
    mesh.go_on(0)
    info = mesh.done(AskVModel("v"))
    assert isinstance(info, VModelInfo)
    assert (info.active, info.active_status and info.active_status.status) == ("gone", Status.NOT_FOUND)
    empty = mesh.done(AskVModel("w"))
    assert isinstance(empty, VModelInfo)
    assert empty.active == ""
    running = mesh.ask(mesh.live[0], AskVModel("v"))
    mesh.deliver(mesh.pending[0])  # that there is no such model
    mesh.kv.commit([Write(VMODELS + "v", ANY, DELETE)])
    mesh.deliver(mesh.pending[0])
    assert isinstance(running.end, Done)
    assert running.end.answer == VModelInfo()


def test_who_refers_to_a_model_is_found_by_what_it_is_to_them() -> None:
    mesh = Mesh(1)
    mesh.set("v", "old", owner="new")
    vmodels = mesh.live[0].node.vmodels
    assert vmodels.referring("new") == []
    assert [name for name, _ in vmodels.referring("old")] == [name for name, _, _ in vmodels.items()] == ["v"]
