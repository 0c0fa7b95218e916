"""Starts with one wrong setting each, made from the table of settings itself: none of them comes to anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from meshd.__main__ import run
from meshd.settings import forms, kinds, metrics
from meshd.settings.kinds import Kind
from meshd.settings.setting import Setting
from meshd.settings.table import SETTINGS

GUARD_S = 60  # against hanging
LEAST_CASES = 200
SAMPLE = 10
BASE = {
    "MM_SERVICE_NAME": "mesh", "KV_STORE": "etcd:/none/there.json", "MM_BIND": "127.0.0.1", "MM_SVC_GRPC_PORT": "0",
    "MM_MESH_PORT": "0", "MM_PROBE_PORT": "NONE", "MM_PRESTOP_WAIT_PORT": "NONE", "MM_METRICS": "disabled",
}  # fmt: skip
"""A start that gets as far as the store, which is none: one whose wrong setting goes unnoticed ends there."""

ANY_TEXT = {"labels", "payload_processors"}
"""Fields of settings that take any text besides those of the kind TEXT."""

OF_JSON = ("{", "nonsense", "1", '"text"', "null")
OF_KIND: dict[int, tuple[str, ...]] = {
    id(kinds.FILE): ("/none/there", "/", "none"),
    id(kinds.FILES): ("/none/there", f"{__file__}, /none/there", "/"),
    id(kinds.PATHS): ("/none/there", f"/,{__file__},/none/there"),
    id(metrics.METRICS): (":port=1", "prometheus:port", "prometheus:", "prometheus;port=1", "pro metheus"),
    id(metrics.INFO_METRIC): ("Name;a=PATH", "name;a", "name;a=NONE_THERE", "name;a=PATH,", "name;", "9;a=PATH"),
    id(forms.RETRY_BUFFER): ("-1", "x", "1,", "2,1", "1,2,3", "1 MiB", "99999999999"),
    id(forms.TYPE_CONSTRAINTS): (*OF_JSON, "[]", '{"t": []}', '{"t": {"required": "a"}}', '{"t": {"preferred": [1]}}'),
    id(forms.DATA_PLANE): (
        *OF_JSON, "[]", '{"rpcs": {}}', '{"rpcConfigs": []}', '{"rpcConfigs": {"a.B/C": {"idExtractionPath": ["1"]}}}',
        '{"rpcConfigs": {"a.B/C": {"idExtractionPath": [0]}}}', '{"rpcConfigs": {"a.B/C": {"vmodel": true}}}',
        '{"allowOtherRpcs": "yes"}',
    ),
    id(forms.STATIC_MODELS): (
        *OF_JSON, "{}", "[1]", "[{}]", '[{"modelId": "m"}]', '[{"modelId": "m", "modelInfo": {"path": "p"}}]',
        '[{"modelId": "", "modelInfo": {"type": "t"}}]',
        '[{"modelId": "m", "modelInfo": {"type": "t"}, "retainAfterTransition": true}]',
    ),
    id(forms.LOG_HEADERS): (*OF_JSON, "[]", "{}", '{"a": 1}', '{"": "a"}', '{"a": " "}'),
}  # fmt: skip
OF_FIELD = {
    "service_name": ("a/b", "a b"),
    "instance_id": ("a,b", "a b", "a/b", "é"),
    "bind": ("a b", "http://a", "[::1]"),
    "address": ("a b", "http://a"),
    "kv_store": (
        "etcd",
        "etcd:",
        "zookeeper:localhost:2181",
        "etcd:a b",
        "localhost:2379",
        "etcd:a:b",
        "etcd:a;b=c",
        "etcd:/none/there.json",
    ),
    "discovery_store": ("etcd:", "zookeeper:localhost:2181", "localhost:2379"),
    "kv_prefix": ("a/b", "a b"),
    "is_read_only": ("1", "yes"),
    "trace_sample": ("x", "0", "0.0", "1.1", "2", "-0.1", "1e-3", "nan", "1/2"),
}


def wrong_values(setting: Setting) -> tuple[str, ...]:
    """Values that the setting must not take, by its kind."""
    kind: Kind = setting.kind
    if kind is kinds.TEXT or setting.field in ANY_TEXT:
        return ()
    if setting.field in OF_FIELD:
        return OF_FIELD[setting.field]
    if id(kind) in OF_KIND:
        return OF_KIND[id(kind)]
    if "whole number" in kind.allowed:
        low, high = re.search(r"from (-?\d+)", kind.allowed), re.search(r"to (\d+)", kind.allowed)
        beyond = (str(int(low[1]) - 1),) if low else ()
        beyond += (str(int(high[1]) + 1),) if high else ()
        return ("x", "1.5", "1 0", "1e3", "9" * 18, "9" * 19, *beyond)
    if " or " in kind.allowed:
        return (*(f"{option}x" for option in kind.allowed.split(" or ")), "1")
    if "path of a file" in kind.allowed:
        return ("/none/there", "/", __file__)
    raise AssertionError(f"no wrong value for {setting.name}")


CASES = [(setting, name, value) for setting in SETTINGS for name in setting.names for value in wrong_values(setting)]
IN_FILE = [case for case in CASES if case[0].field != "kv_store"][::SAMPLE]
"""Some of them; what the store says of its own setting it says without knowing where that stood."""


def case_id(part: object) -> str:
    return "" if isinstance(part, Setting) else str(part)


def environment(setting: Setting, name: str, value: str) -> dict[str, str]:
    base = {other: text for other, text in BASE.items() if other not in setting.names}
    return {"PATH": os.environ["PATH"], **base, name: value}


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= LEAST_CASES


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize(("setting", "name", "value"), CASES, ids=case_id)
def test_a_start_with_one_wrong_setting_ends_and_names_it(
    setting: Setting, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch.dict(os.environ, environment(setting, name, value), clear=True):
        code = run([])
    out, err = capsys.readouterr()
    # Only the store itself can tell whether it is one; everything else is known before anything starts.
    assert (code, out) in ((2, ""), (1 if setting.field == "kv_store" else 2, ""))
    assert re.search(rf"\b{name}\b", err), err


@pytest.mark.parametrize(("setting", "name", "value"), IN_FILE, ids=case_id)
def test_a_wrong_setting_in_a_file_is_named_with_the_file(
    setting: Setting, name: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "meshd.yaml"
    file.write_text(f"{name}: {json.dumps(value)}\n")
    env = {other: text for other, text in environment(setting, name, value).items() if other != name}
    with patch.dict(os.environ, env, clear=True):
        code = run(["--config", str(file)])
    assert code == 2
    assert f"{file}: {name}" in capsys.readouterr().err


def test_real_processes_do_the_same() -> None:
    sample = CASES[:: len(CASES) // SAMPLE]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "meshd"], env=environment(*case), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=Path(__file__).parents[2],
        )
        for case in sample
    ]  # fmt: skip
    try:
        ends = [(*process.communicate(timeout=GUARD_S), process.returncode) for process in started]
    finally:
        for process in started:
            process.kill()
    unnamed = [case[1:] for case, (_, err, _) in zip(sample, ends, strict=True) if case[1] not in err]
    assert unnamed == []
    assert [code for _, _, code in ends if code == 0] == []
    assert [out for out, _, _ in ends if out] == []
