"""What files would change, by the rules alone, and registrations written down and read again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmctl.apply.export import Language, Unwritable, is_within, model_document, vmodel_document, written
from mmctl.apply.plan import Action, Difference, Found, Kind, Step, plan
from mmctl.apply.views import MOST_SHOWN, PLAN, say_plan, summary
from mmctl.documents import Described, parse_described
from mmctl.errors import Usage
from mmctl.output import Form, show_list
from mmctl.values import Failure, Model, Registration, Status, VModel, VModelChange, VModelStatus

A = Registration("a", "onnx", "a.onnx", size_bytes=7, labels={"team": "x"})
V = VModelChange("v", {"a": 90, "b": 10}, shadow="")


def as_model(one: Registration, **others: Any) -> Model:
    said = {name: getattr(one, name) for name in Registration.__slots__ if name not in ("load", "name", "type")}
    return Model(one.name, one.type, Status.NOT_LOADED, **{**said, **others})


def as_vmodel(one: VModelChange) -> VModel:
    return VModel(one.name, VModelStatus.DEFINED, one.targets, shadow=one.shadow or "", owner=one.owner)


def steps(
    wanted: list[Registration | VModelChange], *found: Model | VModel, prunable: tuple[str, ...] = ()
) -> list[Step]:
    described = Described(
        {one.name: one for one in wanted if isinstance(one, Registration)},
        {one.name: one for one in wanted if isinstance(one, VModelChange)},
    )
    models = {one.name: one for one in found if isinstance(one, Model)}
    return plan(described, Found(models, {one.name: one for one in found if isinstance(one, VModel)}, prunable))


@pytest.mark.parametrize(
    ("wanted", "found", "action", "differences"),
    [
        (A, None, Action.CREATE,
         [("type", None, "onnx"), ("path", None, "a.onnx"), ("size", None, 7), ("labels.team", None, "x")]),
        (Registration("a", "t"), None, Action.CREATE, [("type", None, "t")]),
        (A, as_model(A), Action.KEEP, []),
        (A, as_model(A, last_used_ms=5, revision=9, references=2), Action.KEEP, []),
        (replace(A, load=True), as_model(A), Action.KEEP, []),
        (replace(A, min_copies=2), as_model(A), Action.CHANGE, [("min", 0, 2)]),
        (replace(A, size_bytes=0, pinned=True), as_model(A), Action.CHANGE, [("size", 7, 0), ("pin", False, True)]),
        (
            replace(A, labels={"team": "y", "z": "1"}), as_model(A, labels={"team": "x", "old": "1"}), Action.CHANGE,
            [("labels.old", "1", None), ("labels.team", "x", "y"), ("labels.z", None, "1")],
        ),
        (replace(A, priority=0, max_copies=3), as_model(A), Action.CHANGE, [("max", 0, 3), ("priority", 5, 0)]),
        (replace(A, path="b", min_copies=3), as_model(A), Action.REFUSE, [("path", "a.onnx", "b")]),
        (replace(A, type="t", key="k"), as_model(A), Action.REFUSE, [("type", "onnx", "t"), ("key", "", "k")]),
        (A, Model("a", "", Status.UNKNOWN, failures=(Failure("", 0, "not JSON"),)), Action.REFUSE, []),
    ],
)  # fmt: skip
def test_model_is_created_changed_kept_or_refused(
    wanted: Registration, found: Model | None, action: Action, differences: list[Any]
) -> None:
    (step,) = steps([wanted], *([found] if found else []))
    assert (step.kind, step.name, step.action) == (Kind.MODEL, "a", action)
    assert [(each.field, each.before, each.after) for each in step.differences] == differences
    assert bool(step.text) == (action is Action.REFUSE)


B = Registration("b", "t")


@pytest.mark.parametrize(
    ("wanted", "found", "action", "differences"),
    [
        (V, None, Action.CREATE, [("targets.a", None, 90), ("targets.b", None, 10)]),
        (replace(V, owner="o", shadow="a"), None, Action.CREATE,
         [("targets.a", None, 90), ("targets.b", None, 10), ("shadow", "", "a"), ("owner", None, "o")]),
        (V, as_vmodel(V), Action.KEEP, []),
        (V, replace(as_vmodel(V), owner="ksp"), Action.KEEP, []),
        (V, VModel("v", VModelStatus.TRANSITIONING, {"a": 100}, V.targets), Action.KEEP, []),
        (V, VModel("v", VModelStatus.TRANSITIONING, V.targets, {"a": 100}), Action.CHANGE,
         [("targets.a", 100, 90), ("targets.b", None, 10)]),
        (replace(V, shadow="b"), as_vmodel(V), Action.CHANGE, [("shadow", "", "b")]),
        (V, replace(as_vmodel(V), shadow="b"), Action.CHANGE, [("shadow", "b", "")]),
        (replace(V, owner="me"), replace(as_vmodel(V), owner="ksp"), Action.REFUSE, [("owner", "ksp", "me")]),
        (replace(V, shadow="nowhere"), as_vmodel(V), Action.REFUSE, []),
        (V, VModel("v", VModelStatus.UNKNOWN), Action.REFUSE, []),
    ],
)  # fmt: skip
def test_virtual_model_is_created_changed_kept_or_refused(
    wanted: VModelChange, found: VModel | None, action: Action, differences: list[Any]
) -> None:
    """One of its models is registered, the other is in the files."""
    *_, step = steps([B, wanted], as_model(A), *([found] if found else []))
    assert (step.kind, step.name, step.action) == (Kind.VMODEL, "v", action)
    assert [(each.field, each.before, each.after) for each in step.differences] == differences
    assert bool(step.text) == (action is Action.REFUSE)


def test_what_the_files_do_not_name_goes_last_and_only_within_the_scope() -> None:
    found = [as_model(A), as_model(B), as_model(Registration("c", "t"))]
    assert [(step.action, step.name) for step in steps([A], *found, prunable=("c", "a"))] == [
        (Action.KEEP, "a"), (Action.REMOVE, "c"),
    ]  # fmt: skip
    assert [step.action for step in steps([A], *found)] == [Action.KEEP]


def test_model_that_a_virtual_model_keeps_does_not_go_and_the_plan_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    models = [as_model(Registration(name, "t")) for name in "abcdef"]
    moving = VModel("w", VModelStatus.TRANSITIONING, {"a": 100}, {"c": 100}, shadow="d")
    given_up = VModel("v", VModelStatus.DEFINED, {"e": 100}, shadow="f")
    found = steps([VModelChange("v", {"a": 100})], *models, moving, given_up, prunable=tuple("abcdef"))
    assert [(step.name, step.action, step.text) for step in found[1:]] == [
        ("a", Action.KEEP, "kept by virtual models v, w"), ("b", Action.REMOVE, ""),
        ("c", Action.KEEP, "kept by virtual model w"), ("d", Action.KEEP, "kept by virtual model w"),
        ("e", Action.REMOVE, ""), ("f", Action.REMOVE, ""),
    ]  # fmt: skip
    say_plan(found)
    assert "= model c  kept by virtual model w\n" in capsys.readouterr().err


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
registrations = st.builds(
    Registration, names, names, texts, texts, st.integers(0, 2**62), st.dictionaries(texts, texts, max_size=3),
    min_copies=st.integers(0, 3), max_copies=st.sampled_from([0, 3, 9]), pinned=st.booleans(),
    priority=st.integers(0, 9),
)  # fmt: skip
vmodels = st.builds(VModelChange, names, st.just({"a": 90, "b": 10}), st.sampled_from(["", "c"]), texts)


@given(
    st.lists(registrations, max_size=3, unique_by=lambda one: one.name),
    st.lists(vmodels, max_size=2, unique_by=lambda one: one.name), st.sampled_from(Language),
)  # fmt: skip
def test_what_is_written_down_is_read_again_and_then_nothing_is_to_be_done(
    models: list[Registration], aliases: list[VModelChange], language: Language
) -> None:
    documents = [model_document(as_model(one)) for one in models]
    documents += [vmodel_document(as_vmodel(one)) for one in aliases]
    text = written(documents[:1], language) + written(documents[1:], language)
    if not documents:
        assert text == ""
        return
    described = parse_described(text, f"export.{language.value}")
    assert list(described.models.values()) == models
    assert list(described.vmodels.values()) == aliases
    there = {one.name: as_model(one) for one in [*models, *(Registration(name, "t") for name in "abc")]}
    found = Found(there, {one.name: as_vmodel(one) for one in aliases})
    assert {step.action for step in plan(described, found)} == {Action.KEEP}


@given(st.lists(registrations, max_size=4, unique_by=lambda one: one.name), st.lists(registrations, max_size=4))
def test_plan_leads_to_what_the_files_say_or_says_why_not(
    wanted: list[Registration], found: list[Registration]
) -> None:
    before = {one.name: as_model(one) for one in found}
    described = Described({one.name: one for one in wanted}, {})
    after = dict(before)
    refused = set()
    for step in plan(described, Found(before, {})):
        if step.action in (Action.CREATE, Action.CHANGE):
            after[step.name] = as_model(described.models[step.name])
        elif step.action is Action.REFUSE:
            refused.add(step.name)
            assert step.name in before
    assert {step.name for step in plan(described, Found(after, {})) if step.action is not Action.KEEP} == refused


def test_what_cannot_be_written_down_says_why() -> None:
    with pytest.raises(Unwritable, match="not JSON"):
        model_document(Model("a", "", Status.UNKNOWN, failures=(Failure("", 0, "not JSON"),)))
    with pytest.raises(Unwritable, match="not UTF-8"):
        model_document(Model("a\udc80", "t", Status.NOT_LOADED))
    with pytest.raises(Unwritable, match="cannot be read"):
        vmodel_document(VModel("v", VModelStatus.UNKNOWN))


def test_virtual_model_goes_with_all_of_its_models() -> None:
    vmodel = VModel("v", VModelStatus.TRANSITIONING, {"old": 100}, {"a": 50, "b": 50}, shadow="s")
    assert is_within(vmodel, ["a", "b", "s"])
    assert not is_within(vmodel, ["a", "b", "old"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("vmodel: v\ntargets: {a: 90}\n", "vmodel v: the weights add up to 90"),
        ("vmodel: v\n", "field 'targets' is missing or empty"),
        ("vmodel: v\ntargets: {}\n", "field 'targets' is missing or empty"),
        ("vmodel: v\ntargets: a\n", "field 'targets' is an object of percentages by model, not the text 'a'"),
        ("vmodel: v\ntargets: {a: '100'}\n", "field 'targets.a' is a whole number, not the text '100'"),
        ("vmodel: v\ntargets: {a: 100}\nshadow: a\n", "a is a target and cannot be the shadow too"),
        ("vmodel: v\ntargets: {a: 100}\nowners: a\n", "unknown field 'owners'; did you mean 'owner'?"),
        ("vmodel: v\ntargets: {a: 100}\n---\nvmodel: v\ntargets: {b: 100}\n", "name 'v' was given before"),
    ],
)  # fmt: skip
def test_mistake_about_a_virtual_model_is_named(text: str, error: str) -> None:
    with pytest.raises(Usage) as raised:
        parse_described(text, "v.yaml")
    assert error in str(raised.value)
    assert "(line " in str(raised.value)


def test_one_bad_document_among_a_thousand_is_named_with_its_line() -> None:
    lines = [f'{{"name": "m{at}", "type": "t"}}' for at in range(1_000)]
    lines[776] = '{"name": "m776", "type": 7}'
    with pytest.raises(Usage, match=r"^many\.jsonl: document 777 \(line 777\): field 'type' is text, not the number 7"):
        parse_described("\n".join(lines), "many.jsonl")
    lines[776] = '{"name": "m776", "type": '
    with pytest.raises(Usage, match=r"many\.jsonl: document 777 \(line 777\): not JSON at line 779 column 1"):
        parse_described("\n".join(lines), "many.jsonl")
    documents = "---\n".join(f"name: m{at}\ntype: t\n" if at != 500 else "name: [x]\ntype: t\n" for at in range(1_000))
    with pytest.raises(Usage, match=r"many\.yaml: document 501 \(line 1501\): field 'name' is text, not a list"):
        parse_described(documents, "many.yaml")


def test_plan_is_shown_to_a_person_in_short_and_what_is_refused_first(capsys: pytest.CaptureFixture[str]) -> None:
    many = [Step(Kind.MODEL, f"m{at}", Action.CREATE, (Difference("type", None, "t"),)) for at in range(MOST_SHOWN)]
    change = Step(Kind.VMODEL, "v", Action.CHANGE, (Difference("targets.a", 90, None), Difference("shadow", "", "x y")))
    refuse = Step(Kind.MODEL, "r\n", Action.REFUSE, (Difference("path", "a", "b"),), "it cannot change")
    all_steps = [*many, change, refuse, Step(Kind.MODEL, "k", Action.KEEP), Step(Kind.MODEL, "g", Action.REMOVE)]
    say_plan(all_steps)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["! model r\\n  path: a -> b; it cannot change", "+ model m0  type=t"]
    assert lines[-2:] == ["and 3 more; `mmctl diff` shows all", summary(all_steps)]
    assert lines[-1] == (
        "53 models: 50 to create, 1 to unregister, 1 that cannot be so, 1 unchanged; 1 virtual model: 1 to change"
    )
    show_list(PLAN, [change, refuse], Form.TABLE)
    assert capsys.readouterr().out.splitlines() == [
        "ACTION    KIND    ID   WHAT",
        '~ change  vmodel  v    -targets.a, shadow: "" -> x y',
        "! refuse  model   r\\n  path: a -> b; it cannot change",
    ]
