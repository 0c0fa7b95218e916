"""The same commands through instances and through the registry print the same (UPDATE_GOLDEN=1 writes that anew), and
a mesh whose etcd is lost is as before once its export is applied."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmctl.__main__ import run
from mmctl.local.home import Home
from tests.mmctl.meshes import mesh, process
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.usefixtures("patient")]

GOLDEN = Path(__file__).parent / "golden"
REQUEST = '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}'

MODELS = """\
{name: golden/a, type: golden, path: a.bin, size: 1MiB, labels: {team: x, tier: gold}, min: 0, max: 3, priority: 9}
---
name: golden/名前
type: golden
key: '{"bucket": "b"}'
pin: true
"""
OTHERS = """\
{name: golden/a, type: golden, path: elsewhere.bin}
---
{name: golden/名前, type: golden, key: '{"bucket": "b"}', labels: {team: y}, priority: 0}
---
{name: golden/new, type: golden, size: 50MiB}
---
{vmodel: golden-v, targets: {golden/a: 90, golden/new: 10}, shadow: golden/none}
"""
VMODEL = MODELS + "---\n{vmodel: golden-v, targets: {golden/a: 90, golden/名前: 10}, owner: me}\n"

STEPS: list[tuple[list[str], int]] = [
    (["apply", "-f", "models.yaml", "--yes"], 0),
    (["apply", "-f", "models.yaml", "--yes"], 0),
    (["register", "-f", "models.yaml"], 0),
    (["register", "golden/a", "--type", "other"], 1),
    (["list", "--type", "golden"], 0),
    (["list", "--type", "none"], 0),
    (["get", "golden/a"], 0),
    (["get", "golden/none"], 3),
    (["diff", "-f", "models.yaml"], 0),
    (["diff", "-f", "others.yaml", "--prune", "--type", "golden"], 1),
    (["apply", "-f", "others.yaml", "--yes"], 1),
    (["set", "golden/a", "golden/none", "--max", "2", "--no-pin"], 3),
    (["apply", "-f", "models.yaml", "--prune", "-l", "team=x", "--dry-run"], 0),
    (["wait", "golden/none", "--for", "gone"], 0),
    (["wait", "golden/none"], 3),
    (["unregister", "golden/a", "golden/none", "--yes", "--dry-run"], 3),
    (["apply", "-f", "vmodel.yaml", "--yes"], 0),
    (["diff", "-f", "vmodel.yaml"], 0),
    (["vmodel", "get", "golden-v"], 0),
    (["unregister", "golden/a"], 1),
    (["vmodel", "delete", "golden-v"], 0),
    (["unregister", "--type", "golden", "--yes"], 0),
    (["unregister", "--type", "golden", "--yes"], 0),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with mesh(
        tmp_path_factory.mktemp("mesh") / "data", "--instances", "2", "--runtime", "fake", "--restart",
        "--set", "MM_MIN_CHURN_AGE_MS=0", "--set", "MM_PROACTIVE_PERIOD_MS=0", "--capacity", "64MiB",
        "--runtime-arg=--size", "--runtime-arg=1MiB",
    ) as plan:  # fmt: skip
        yield plan


def is_empty(up: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether no instance knows of any model."""

    def listed(endpoint: str) -> Any:
        capsys.readouterr()
        assert run(["list", "-o", "json", "--endpoint", endpoint]) == 0
        return json.loads(capsys.readouterr().out)

    return all(listed(endpoint) == [] for endpoint in up["endpoints"])


@pytest.fixture(params=["instances", "registry"])
def way(request: pytest.FixtureRequest, up: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    until(lambda: is_empty(up, capsys), "all know that the models of the test before are gone")
    if request.param == "registry":
        return ["--kv-store", up["kv_store"], "--service", "mesh"]
    return ["--endpoint", up["endpoints"][0]]


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_commands_print_is_the_same_whichever_way(
    form: str, way: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("models", MODELS), ("others", OTHERS), ("vmodel", VMODEL)):
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    transcript = []
    for words, code in STEPS:
        capsys.readouterr()
        assert run([*words, "-o", form, *way]) == code, capsys.readouterr().err
        shown = capsys.readouterr()
        transcript.append(f"$ mmctl {' '.join(words)}\n{shown.out}{shown.err}({code})\n")
    text = re.sub(r'("(?:revision|last_used_ms)": |\brevision +)\d+', r"\1N", "\n".join(transcript))
    file = GOLDEN / f"ways.{form}"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_a_description_is_what_get_explain_and_events_say(way: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run([*words, *way]) == code
        return capsys.readouterr().out

    told("register", "described", "--type", "t", "--load", "--wait")
    described = json.loads(told("describe", "described", "-o", "json"))
    got, explained = (json.loads(told(words, "described", "-o", "json")) for words in ("get", "explain"))
    assert (described["model"]["id"], described["model"].keys()) == ("described", got.keys())
    held = [[copy["instance"] for copy in each["copies"]] for each in (described["explanation"], explained)]
    assert held[0] == held[1] != []
    assert {each["model"] for each in described["decisions"]} == {"described"}
    page = told("describe", "described")
    for part in (
        "id             described",
        "a request now",
        "last decisions about it",
        described["decisions"][-1]["cause"],
    ):
        assert part in page
    told("describe", "nobody", code=3)
    told("unregister", "described")


def test_every_model_answers_again_when_etcd_was_lost_and_the_export_is_applied(
    up: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The instances stay up; the new etcd is empty."""
    home = Home(Path(up["data_dir"]))
    until(lambda: is_empty(up, capsys), "all know that the models of the test before are gone")

    def told(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = run([*words, "--data-dir", up["data_dir"]])
        shown = capsys.readouterr()
        assert ended == code, shown.err
        return shown.out

    names = [f"kept/{at}" for at in range(12)]
    models = [{"name": name, "type": "t", "size": "1MiB", "labels": {"at": name}, "priority": 7} for name in names]
    vmodel = {"vmodel": "alias", "targets": {names[0]: 90, names[1]: 10}, "shadow": names[2], "owner": "me"}
    first = tmp_path / "first.jsonl"
    first.write_text("\n".join(map(json.dumps, [*models, vmodel])))
    told("apply", "-f", str(first), "--yes")
    exported = told("export")
    backup = tmp_path / "backup.yaml"
    backup.write_text(exported, encoding="utf-8")
    told("diff", "-f", str(backup))

    shutil.rmtree(home.etcd)
    os.kill(process(up, "etcd")["pid"], signal.SIGKILL)

    def are_instances_back() -> bool:
        is_there = run(["instances", "-o", "json", "--kv-store", up["kv_store"], "--service", "mesh"]) == 0
        shown = capsys.readouterr().out
        return is_there and [one["phase"] for one in json.loads(shown)] == ["ready", "ready"]

    until(are_instances_back, "both instances are in the new etcd")
    until(lambda: is_empty(up, capsys), "they know that the new etcd is empty")
    told("infer", names[0], "--json", REQUEST, code=3)
    told("apply", "-f", str(backup), "--yes")
    for name in names:
        assert json.loads(told("infer", name, "--json", REQUEST))["outputs"][0]["data"] == [1.5]
    told("diff", "-f", str(backup))
    assert told("export") == exported
