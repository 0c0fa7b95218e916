"""The console script: what it prints, and the exit codes of starts that come to nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from meshd.app import STORE_LIMIT_S
from tests.certificates import Authority
from tests.processes import free_port, got, until

GUARD_S = 60  # against hanging
MOST_S = 5
"""What a start that cannot come to anything may take."""


def meshd(*arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run it to its end in an environment with these settings alone."""
    env = {"PATH": os.environ["PATH"], **settings}
    command = [sys.executable, "-m", "meshd", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=GUARD_S, check=False)
    return done.returncode, done.stdout, done.stderr


def ports() -> dict[str, str]:
    names = ("MM_SVC_GRPC_PORT", "MM_MESH_PORT", "MM_PROBE_PORT", "MM_PRESTOP_WAIT_PORT")
    return {"MM_BIND": "127.0.0.1", "MM_METRICS": "disabled", **{name: str(free_port()) for name in names}}


def test_every_wrong_setting_is_named_with_its_value_and_what_is_allowed() -> None:
    code, out, err = meshd(
        MM_SERVICE_NAME="a/b", MM_SVC_GRPC_PORT="port", MM_LOG_LEVEL="loud", KV_STORE="etcd:http://me:secret@host:1 2"
    )
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines == [
        "MM_SERVICE_NAME=a/b is not allowed; allowed: a name without / and blanks",
        "MM_SVC_GRPC_PORT=port is not allowed; allowed: a whole number from 0 to 65535",
        "KV_STORE=etcd:http://***@host:1 2 is not allowed; allowed: etcd:<file>, etcd:<endpoints> or memory",
        "MM_LOG_LEVEL=loud is not allowed; allowed: debug or info or warning or error",
    ]


def test_what_has_no_default_has_to_be_set() -> None:
    code, _, err = meshd()
    assert code == 2
    assert err.splitlines() == [
        "MM_SERVICE_NAME is not set, and there is no default; allowed: a name without / and blanks",
        "KV_STORE is not set, and there is no default; allowed: etcd:<file>, etcd:<endpoints> or memory",
    ]


def test_settings_can_be_looked_at_without_a_start() -> None:
    code, out, err = meshd("--print-config", MM_SERVICE_NAME="svc", KV_STORE="etcd:https://me:secret@host:2379")
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "etcd:https://***@host:2379" in lines["KV_STORE"]
    assert "secret" not in out
    assert lines["MM_MESH_PORT"].split()[1:4] == ["8080", "default", "port"]


def test_settings_can_be_looked_at_by_machines(tmp_path: Path) -> None:
    file = tmp_path / "meshd.yaml"
    file.write_text("MM_SERVICE_NAME: svc\nMM_PAYLOAD_PROCESSORS: [http://me:hunter2@a, logger://*]\n")
    code, out, err = meshd(
        "--config", str(file), "--print-config", "-o", "json",
        KV_STORE="etcd:me:hunter2@a:1", MM_TLS_PRIVATE_KEY_PASSPHRASE="hunter2", MM_SCALEUP_RPM="1",
    )  # fmt: skip
    assert code == 0
    assert "hunter2" not in out + err
    assert err.splitlines() == [
        "MM_SCALEUP_RPM is not a setting; did you mean MM_SCALEUP_RPM_THRESHOLD?",
        "MM_PAYLOAD_PROCESSORS is accepted and not acted on yet",
    ]
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["MM_SERVICE_NAME"] == {
        "name": "MM_SERVICE_NAME",
        "value": "svc",
        "origin": "file",
        "unit": "",
        "meaning": "name of the mesh; its instances find each other by it",
        "is_acted_on": True,
    }
    assert rows["MM_PAYLOAD_PROCESSORS"]["value"] == "http://***@a logger://*"
    assert not rows["MM_PAYLOAD_PROCESSORS"]["is_acted_on"]


def test_columns_are_aligned_and_a_long_value_moves_its_own_line_only() -> None:
    code, out, _ = meshd("--print-config", MM_SERVICE_NAME="svc", KV_STORE="memory", MM_LABELS="a" * 100)
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["SETTING", "VALUE", "ORIGIN", "UNIT", "MEANING"]
    at = head.index("ORIGIN")
    odd = [line.split()[0] for line in lines if line[at - 2 : at] != "  " or line[at] == " "]
    assert odd == ["MM_LABELS"]
    (waiting,) = [line for line in lines if line.startswith("MM_MULTI_PARALLELISM ")]
    assert waiting.endswith(" (not acted on yet)")


def test_what_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    reason = tmp_path / "reason"
    odd = os.fsdecode(b"\xff")
    for form in ("table", "json"):
        code, out, _ = meshd("--print-config", "-o", form, MM_SERVICE_NAME="svc", KV_STORE="memory", MM_ZONE=odd)
        assert (code, "\\udcff" in out) == (0, True)
    code, _, err = meshd(MM_SERVICE_NAME="svc", KV_STORE=odd, LL_TERMINATION_MSG_PATH=str(reason))
    assert (code, "KV_STORE=\\udcff is" in err) == (2, True)
    assert "KV_STORE=\\udcff is" in reason.read_text()


def test_a_wrong_setting_is_left_where_kubernetes_looks_for_it(tmp_path: Path) -> None:
    reason = tmp_path / "reason"
    settings = {"KV_STORE": "memory", "MM_MESH_PORT": "x", "LL_TERMINATION_MSG_PATH": str(reason)}
    assert meshd("--print-config", **settings)[0] == 2
    assert not reason.exists(), "to look at settings is no start"
    code, _, err = meshd(**settings)
    assert code == 2
    assert reason.read_text() == f"Service startup failed: {'; '.join(err.splitlines())}\n"
    assert len(err.splitlines()) == 2


def test_a_file_of_settings_that_will_not_do_ends_the_start_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "meshd.yaml"
    file.write_text("MM_SERVICE_NAME: svc\nKV_STORE: memory\nMM_MESHPORT: 1\n")
    code, out, err = meshd("--config", str(file))
    assert (code, out) == (2, "")
    assert err == f"{file}, line 3: MM_MESHPORT is not a setting; did you mean MM_MESH_PORT?\n"
    file.write_text("MM_SERVICE_NAME: [svc\n")
    code, _, err = meshd("--config", str(file))
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"{file}, line 2: not YAML: ")


def test_help_is_help() -> None:
    code, out, _ = meshd("--help")
    assert code == 0
    assert "--print-config" in out
    code, _, err = meshd("-o", "json")
    assert (code, err.splitlines()[-1]) == (
        2, "meshd: error: -o says how --print-config prints; give both or neither",
    )  # fmt: skip


def told(err: str) -> str:
    """The one line that a failed start has to say, without instant and logger."""
    (line,) = [line for line in err.splitlines() if " ERROR " in line]
    return line.partition(": ")[2]


@pytest.mark.e2e
@pytest.mark.parametrize("is_silent", [False, True])
def test_an_etcd_that_does_not_answer_ends_the_start_soon_and_in_one_sentence(tmp_path: Path, is_silent: bool) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1] if is_silent else free_port()
    reason = tmp_path / "reason"
    code, _, err = meshd(
        MM_SERVICE_NAME="svc", KV_STORE=f"etcd:http://127.0.0.1:{port}", LL_TERMINATION_MSG_PATH=str(reason), **ports()
    )
    assert code == 1
    silent.close()
    sentence = told(err)
    assert f"127.0.0.1:{port}" in sentence
    assert "Traceback" not in err
    assert reason.read_text() == f"Service startup failed: {sentence}\n"
    assert STORE_LIMIT_S < MOST_S - 1, "a process takes a second to start"


@pytest.mark.e2e
def test_a_port_in_use_ends_the_start_soon_and_names_its_setting() -> None:
    free = ports()
    code, _, err = meshd(MM_SERVICE_NAME="svc", KV_STORE="memory", **{**free, "MM_MESH_PORT": free["MM_PROBE_PORT"]})
    assert code == 2
    assert "MM_MESH_PORT and MM_PROBE_PORT are both" in err
    other = subprocess.Popen(
        [sys.executable, "-m", "meshd"],
        env={"PATH": os.environ["PATH"], "MM_SERVICE_NAME": "svc", "KV_STORE": "memory", **free},
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: got(f"http://127.0.0.1:{free['MM_PROBE_PORT']}/live")[0] == 200, "the first one lives")
        code, _, err = meshd(MM_SERVICE_NAME="svc", KV_STORE="memory", **free)
        assert code == 1
        port = free["MM_PROBE_PORT"]
        assert told(err) == f"MM_PROBE_PORT: port {port} on 127.0.0.1 cannot be opened: Address already in use"
        other.terminate()
        assert other.wait(GUARD_S) == 1, "it never had a runtime: to end before it was ready is no success"
    finally:
        other.kill()
        other.wait()


def test_a_store_that_cannot_be_is_told_with_where_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "etcd.json"
    file.write_text('{"endpoints": "h:1", "userid": "u"}')
    code, _, err = meshd(MM_SERVICE_NAME="svc", KV_STORE=f"etcd:{file}", **ports())
    assert code == 1
    assert told(err) == f"KV_STORE, etcd configuration {file}: password is missing: userid and password go together"
    code, _, err = meshd(MM_SERVICE_NAME="svc", KV_STORE=f"etcd:{tmp_path}/none.json", **ports())
    assert told(err) == f"KV_STORE, etcd configuration {tmp_path}/none.json: cannot be read: No such file or directory"


def test_a_certificate_that_is_wrong_ends_the_start_in_one_sentence(tmp_path: Path) -> None:
    certificate, key = Authority().issue(days=(-9, -1)).write(tmp_path)
    files = {"MM_TLS_KEY_CERT_PATH": str(certificate), "MM_TLS_PRIVATE_KEY_PATH": str(key)}
    why = tmp_path / "why"
    code, _, err = meshd(MM_SERVICE_NAME="svc", KV_STORE="memory", LL_TERMINATION_MSG_PATH=str(why), **files, **ports())
    assert code == 1
    assert told(err).startswith(f"MM_TLS_KEY_CERT_PATH: {certificate} ended on ")
    assert why.read_text() == f"Service startup failed: {told(err)}\n"


def test_the_line_stop_ends_it_also_before_it_is_ready() -> None:
    """The runtime that it waits for is not there."""
    env = {"PATH": os.environ["PATH"], **ports(), "MM_SERVICE_NAME": "mm", "KV_STORE": "memory"}
    done = subprocess.run(
        [sys.executable, "-m", "meshd"], env={**env, "INTERNAL_GRPC_PORT": str(free_port())}, input="stop\n",
        capture_output=True, text=True, timeout=GUARD_S, check=False,
    )  # fmt: skip
    assert (done.returncode, "stopped before it was ready" in done.stderr) == (1, True), done.stderr
