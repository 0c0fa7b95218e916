"""The five forms of output, compared with files under golden/ (UPDATE_GOLDEN=1 writes them anew)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from mmctl import views, vmodel_views
from mmctl.output import Form, say, show_list, show_one
from mmctl.progress import Progress
from mmctl.values import (
    Copy,
    Failure,
    Instance,
    Loaded,
    Model,
    Registered,
    Status,
    Unregistered,
    VModel,
    VModelStatus,
)

GOLDEN = Path(__file__).parent / "golden"
NOW_MS = 1_800_000_000_000

MODELS = [
    Model(
        "digits/mlp",
        "onnx",
        Status.LOADED,
        path="digits/mlp.onnx",
        size_bytes=3 * 2**19,
        labels={"team": "vision", "tier": "gold"},
        min_copies=1,
        max_copies=3,
        pinned=True,
        priority=9,
        copies=(Copy("mesh-1", NOW_MS - 42_000, Status.LOADED), Copy("mesh-0", NOW_MS - 300_000, Status.LOADING)),
        last_used_ms=NOW_MS - 5_000,
        revision=17,
    ),
    Model(
        "broken",
        "onnx",
        Status.LOADING_FAILED,
        path="../up",
        min_copies=2,
        priority=0,
        key='{"bucket":"b"}',
        failures=(
            Failure("mesh-2", NOW_MS - 60_000, "INVALID_ARGUMENT: '../up' is outside the model root"),
            Failure("mesh-0", NOW_MS - 120_000, "INVALID_ARGUMENT: '../up' is outside the model root"),
        ),
        last_used_ms=NOW_MS - 7_200_000,
        references=2,
        auto_delete=True,
        revision=9,
        unsatisfied=("2 copies at least, but 1 instance takes its type",),
    ),
    Model("名前 [bold]\n\x1b[31m", "fake", Status.NOT_LOADED, revision=3),
]
INSTANCES = [
    Instance(
        "mesh-0",
        phase="ready",
        grpc="127.0.0.1:8033",
        address="127.0.0.1:8080",
        http="127.0.0.1:2112",
        version="0.1.0",
        data_plane="python",
        location="rack-1",
        zone="z1",
        labels=("cpu", "gpu"),
        start_ms=NOW_MS - 3_600_000 * 50,
        lru_ms=NOW_MS - 600_000,
        models=1234,
        capacity_bytes=512 * 2**20,
        lost_bytes=12 * 2**20,
        used_bytes=500 * 2**20,
        load_threads=8,
        loads_in_progress=2,
        rpm=60_000,
    ),
    Instance("abcdef-12345", is_java=True, capacity_bytes=2**30, start_ms=NOW_MS - 90_000),
]


VMODELS = [
    VModel("digits", VModelStatus.DEFINED, {"digits/mlp": 100}, owner="ksp", revision=21),
    VModel(
        "fraud", VModelStatus.TRANSITION_FAILED, {"fraud-v7": 90, "fraud-v8": 10}, {"fraud-v8": 50, "fraud-v9": 50},
        shadow="fraud-next", revision=30,
    ),
    VModel("spoilt", VModelStatus.UNKNOWN, revision=4),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.time, "time", lambda: NOW_MS / 1000)


def compare(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert not shown.err
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(shown.out, encoding="utf-8")
    assert shown.out == file.read_text(encoding="utf-8")
    return shown.out


@pytest.mark.parametrize("form", list(Form))
def test_list_of_models(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    show_list(views.MODELS, MODELS, form)
    compare(f"list.{form}", capsys)


@pytest.mark.parametrize("form", list(Form))
def test_list_of_instances(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    show_list(views.INSTANCES, INSTANCES, form)
    compare(f"instances.{form}", capsys)


@pytest.mark.parametrize("form", list(Form))
def test_one_model(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    show_one(views.MODELS, MODELS[1], form, views.describe_model)
    compare(f"get.{form}", capsys)


@pytest.mark.parametrize("form", list(Form))
def test_list_of_virtual_models(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    show_list(vmodel_views.VMODELS, VMODELS, form)
    compare(f"vmodels.{form}", capsys)


@pytest.mark.parametrize("form", list(Form))
def test_one_virtual_model(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    show_one(vmodel_views.VMODELS, VMODELS[1], form, vmodel_views.describe)
    compare(f"vmodel.{form}", capsys)


def test_loaded_model_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    show_one(views.MODELS, MODELS[0], Form.TABLE, views.describe_model)
    compare("get-loaded.table", capsys)


@pytest.mark.parametrize("form", [Form.TABLE, Form.JSON])
def test_results_of_register(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Model already exists with different attribute values"
    results = [
        Registered("a", created=True, changed=True),
        Registered("b", changed=True, status=Status.LOADED),
        Registered("c", status=Status.LOADING),
        Registered("d", code="ALREADY_EXISTS", error=text),
    ]
    show_list(views.REGISTERED, results, form)
    compare(f"register.{form}", capsys)


@pytest.mark.parametrize("form", [Form.TABLE, Form.JSON])
def test_results_of_unregister(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        Unregistered("a", existed=True),
        Unregistered("b"),
        Unregistered("c", True, "FAILED_PRECONDITION", "Model c has referents"),
    ]
    show_list(views.UNREGISTERED, results, form)
    compare(f"unregister.{form}", capsys)


@pytest.mark.parametrize("form", [Form.TABLE, Form.JSON])
def test_results_of_load(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Loaded("a", Status.LOADED, ("mesh-0",)),
        Loaded(
            "b", Status.LOADING_FAILED, errors=("INTERNAL: no such file", "INTERNAL: no such file"), code="INTERNAL"
        ),
    ]
    show_list(views.LOADED, outcomes, form)
    compare(f"load.{form}", capsys)


def test_json_and_yaml_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(views.MODELS, MODELS, Form.JSON)
    as_json = json.loads(capsys.readouterr().out)
    show_list(views.MODELS, MODELS, Form.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == as_json
    assert [entry["id"] for entry in as_json] == [model.name for model in MODELS]


def test_nothing_is_an_empty_list_for_programs_and_a_sentence_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(views.MODELS, [], Form.JSON)
    assert capsys.readouterr() == ("[]\n", "")
    show_list(views.MODELS, [], Form.TABLE)
    assert capsys.readouterr() == ("", "no models\n")


def test_no_line_of_a_table_ends_in_blanks_or_holds_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(views.MODELS, MODELS, Form.WIDE)
    for line in capsys.readouterr().out.splitlines():
        assert line == line.rstrip()
        assert line.isprintable()


def test_words_keep_their_lines_and_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    say("first\x1b[2J\n  second\r", style="red")
    Progress().line("a\x1b]0;title\x07")
    assert capsys.readouterr() == ("", "first\\x1b[2J\n  second\\r\na\\x1b]0;title\\x07\n")


@pytest.mark.parametrize(("form", "is_cut"), [(Form.TABLE, True), (Form.WIDE, False)])
def test_instances_stay_a_table_on_a_narrow_terminal(
    form: Form, is_cut: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of pods, whose names and addresses are long."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    pods = [
        Instance(f"7d9f-x{at}abcd", "ready", grpc=f"10.128.12.{at}:8033", capacity_bytes=2**34, used_bytes=2**33 + 1)
        for at in (1, 20)
    ]
    show_list(views.INSTANCES, pods, form)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in lines) == is_cut
    assert ("GRPC" in lines[0], "10.128.12.20:8033" in lines[2]) == (not is_cut, not is_cut)
    assert "LOADING" in lines[0]
