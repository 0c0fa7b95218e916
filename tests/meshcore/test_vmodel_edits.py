"""What may be asked of virtual models, and what is written for it: the rules by themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from meshcore.errors import Code, MeshError
from meshcore.records import ModelRecord
from meshcore.vmodel_asks import ModelInfo, ModelWrite, SetVModel
from meshcore.vmodel_edits import Standing, check, wanted, writes
from meshcore.vmodel_record import VModelRecord, VModelStatus

OLD = VModelRecord("me", "old", "old")


def standing(vmodel: VModelRecord | None, **models: ModelRecord | None) -> Standing:
    return Standing(vmodel, 7 if vmodel else 0, models, {name: 3 if models[name] else 0 for name in models})


def ask(model: str = "new", **more: object) -> SetVModel:
    return SetVModel("v", {model: 100}, **more)  # type: ignore[arg-type]


NEW = ModelRecord("t", "p")


@pytest.mark.parametrize(
    ("asked", "vmodel", "models", "code", "text"),
    [
        (ask(expected="x"), None, {"new": NEW}, Code.FAILED_PRECONDITION, "vmodel v not found"),
        (ask(expected="x"), OLD, {"new": NEW}, Code.FAILED_PRECONDITION,
         "Existing target model old does not match expected x"),
        (ask(expected="x", owner="you"), OLD, {"new": None}, Code.ALREADY_EXISTS,
         'vmodel v already exists with different owner "you"'),
        (ask(owner="you"), OLD, {"new": NEW}, Code.ALREADY_EXISTS,
         'vmodel v already exists with different owner "me"'),
        (ask(owner="you"), OLD, {"new": None}, Code.NOT_FOUND, "Target model new not found"),
        (ask(is_update_only=True), None, {"new": None}, Code.NOT_FOUND, "Target model new not found"),
        (ask(is_update_only=True), None, {"new": NEW}, Code.NOT_FOUND, "vmodel v not found"),
        (ask(info=ModelInfo("t", "q")), OLD, {"new": NEW}, Code.ALREADY_EXISTS,
         "Target model new already exists with different attribute values"),
        (ask(shadow="s"), OLD, {"new": NEW, "s": None}, Code.NOT_FOUND, "Shadow model s not found"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_the_words_of_modelmesh(
    asked: SetVModel, vmodel: VModelRecord | None, models: Mapping[str, ModelRecord | None], code: Code, text: str
) -> None:
    with pytest.raises(MeshError) as caught:
        check(asked, standing(vmodel, **models))
    assert (caught.value.code, caught.value.text) == (code, text)


@pytest.mark.parametrize(
    ("asked", "vmodel", "models"),
    [
        (ask(expected="new"), None, {"new": NEW}),
        (ask(expected="old", owner="me"), OLD, {"new": NEW}),
        (ask("old", expected="x"), OLD, {"old": NEW}),
        (ask(info=ModelInfo("t", "p")), OLD, {"new": NEW}),
        (ask(info=ModelInfo("t", "p")), OLD, {"new": None}),
        (ask(shadow="s"), OLD, {"new": NEW, "s": NEW}),
        (ask(is_update_only=True), OLD, {"new": NEW}),
    ],
)
def test_what_can_be_is_not(
    asked: SetVModel, vmodel: VModelRecord | None, models: Mapping[str, ModelRecord | None]
) -> None:
    check(asked, standing(vmodel, **models))


def test_a_shadow_that_becomes_a_target_is_one_no_more() -> None:
    seen = VModelRecord("me", "old", "old", shadow="new")
    assert wanted(ask(), seen, False, "") == VModelRecord("me", "old", "new")


def test_references_are_what_the_two_sets_of_models_differ_by() -> None:
    """D-21; what is not there has to stay away."""
    before = standing(OLD, old=ModelRecord("t", references=2), new=ModelRecord("t"), gone=None)
    after = VModelRecord("me", "new", "new")
    assert writes(before, after, before.models) == (
        ModelWrite("new", 3, ModelRecord("t", references=1).encode()),
        ModelWrite("old", 3, ModelRecord("t", references=1).encode()),
    )
    lost = standing(VModelRecord("me", "gone", "gone"), gone=None, new=ModelRecord("t"))
    assert writes(lost, after, lost.models)[0] == ModelWrite("gone", 0, is_kept=True)
    assert writes(lost, lost.vmodel, lost.models) == (), "a model that others took away is not this one's to bring back"
    kept = standing(OLD, old=ModelRecord("t", references=1, auto_delete=True))
    assert writes(kept, None, kept.models) == (ModelWrite("old", 3, None),)


def test_a_record_says_what_it_is_doing() -> None:
    assert OLD.status is VModelStatus.DEFINED
    going = OLD.aimed_at({"new": 100})
    assert (going.status, going.wanted) == (VModelStatus.TRANSITIONING, {"new": 100})
    assert VModelRecord("", "old", "new", has_failed=True).status is VModelStatus.TRANSITION_FAILED
    split = OLD.aimed_at({"old": 90, "new": 10})
    assert (split.target, split.wanted, split.shares) == ("old", {"old": 90, "new": 10}, {"old": 100})
    in_force = split.switched()
    assert (in_force.shares, in_force.is_in_transition) == ({"old": 90, "new": 10}, False)
    alone = in_force.aimed_at({"old": 100})
    assert (alone.wanted, alone.is_in_transition) == ({"old": 100}, True)
    assert alone.switched() == OLD
