"""An instance that is to leave registrations as they are."""

from __future__ import annotations

from typing import Any

import pytest

from meshcore.asks import Kept, Op, Register, Request, Status, Unregister
from meshcore.commands import Commit
from meshcore.errors import ReadOnly
from meshcore.events import Seen
from meshcore.reasons import Rule
from tests.builders import NOW, instance, model
from tests.meshcore.asked import TS, forwarded, on, peers, refused
from tests.meshcore.lone import Lone
from tests.meshcore.registering import told

TEXT = "model-mesh is in read-only mode"


def reading(**options: Any) -> Lone:
    return Lone(me={"is_read_only": True}, **options)


@pytest.mark.parametrize("is_trial", [False, True])
def test_nothing_is_registered(is_trial: bool) -> None:
    """Nor said that it would be."""
    lone = reading()
    assert lone.node.is_read_only
    asking = lone.ask(Register("m", "onnx", is_trial=is_trial))
    assert asking.error == ReadOnly(TEXT)
    assert asking.error.code == "INTERNAL"
    assert lone.node.view.record("m") is None


def test_a_registration_that_stands_is_agreed_with_as_ever() -> None:
    """Clients that register what they are about to ask for go on; that it is used is not written."""
    lone = reading()
    lone.know("m", model(last_used=1))
    info = told(lone.ask(Register("m", "onnx", last_used=NOW)))
    assert (info.status, info.is_new, info.is_changed) == (Status.NOT_LOADED, False, False)
    assert lone.record("m").last_used == 1
    assert told(lone.ask(Register("m", "onnx", kept=Kept(), last_used=NOW))).is_changed is False


def test_what_the_mesh_keeps_of_a_model_is_not_changed() -> None:
    """Copies, pin and priority belong to the registration."""
    lone = reading()
    lone.know("m", model())
    assert lone.ask(Register("m", "onnx", kept=Kept(min_copies=2))).error == ReadOnly(TEXT)
    assert lone.ask(Register("m", "onnx", kept=Kept(min_copies=2), last_used=NOW)).error == ReadOnly(TEXT)


@pytest.mark.parametrize("is_trial", [False, True])
def test_nothing_is_unregistered(is_trial: bool) -> None:
    """What is not there is as good as unregistered, as ever."""
    lone = reading()
    lone.know("m", model())
    asking = lone.ask(Unregister("m", is_trial=is_trial))
    asking.answer(Seen("m", model().encode(), lone.revision))
    assert asking.error == ReadOnly(TEXT)
    asking = lone.ask(Unregister("x"))
    asking.answer(Seen("x", None, 1))
    assert told(asking).status is Status.NOT_FOUND


def test_models_are_loaded_and_their_copies_named_as_ever() -> None:
    """Reading only is about what is registered, not about what serves."""
    lone = reading()
    lone.load("m")
    assert lone.record("m").copies.keys() == {"a"}
    assert told(lone.ask(Request("m", Op.ENSURE))).status is Status.LOADED


@pytest.mark.parametrize(("is_read_only", "is_pruned"), [(True, False), (False, True)])
def test_what_others_lost_stays_in_their_records(is_read_only: bool, is_pruned: bool) -> None:
    """Whoever is named may serve a mesh that this instance does not see."""
    lone = Lone(me={"is_read_only": is_read_only}, peers=peers("b"))
    lone.know("m", on("b"))
    asking = lone.ask(Request("m", Op.ENSURE))
    assert forwarded(asking)[0] == "b"
    asking.answer(refused("not-here", "b", load_ts=TS))  # type: ignore[arg-type]
    assert [why.rule for why in lone.node.log.of("m")].count(Rule.PRUNE) == is_pruned
    assert bool(lone.all(Commit)) == is_pruned


def test_copies_of_former_processes_stay_in_their_records() -> None:
    """They are not used, and not taken out with the next load."""
    lone = reading(peers={"b": instance(start_ms=NOW - 10)})
    lone.know("m", model(copies={"b": NOW - 20}))
    assert lone.node.is_ghost("b", NOW - 20) is False
    lone.load("m")
    assert lone.record("m").copies.keys() == {"a", "b"}
    assert [holder.instance for holder in lone.node.desk.holders("m", lone.record("m"))] == ["a"]


def test_a_copy_on_an_instance_that_is_not_known_is_not_asked_for() -> None:
    """Only known instances are tried; the others' entries stay."""
    lone = reading()
    lone.know("m", on("stranger"))
    lone.load("m")
    assert lone.record("m").copies.keys() == {"a", "stranger"}
