"""Which cluster a command means, by its options, this machine, the environment and contexts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mmctl.connect import Target, local_state, resolve
from mmctl.endpoints import model_header, parse_endpoints
from mmctl.errors import Unavailable, Usage
from mmctl.local import plan
from mmctl.local.etcd import Binary
from mmctl.local.home import Home
from mmctl.local.plan import Wish
from mmctl.local.process import Process, started_at


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MMCTL_ENDPOINT", raising=False)


def local_mesh(folder: Path, is_up: bool = True) -> str:
    """A data directory of a mesh whose every process is this one; its endpoint."""
    home = Home(folder)
    me = Process(os.getpid(), started_at(os.getpid()) or "") if is_up else None
    with home.locked():
        state = plan.make(Wish(instances=1, runtime="fake"), home, Binary("etcd", (3, 6, 0), ""), None, "0.1.0")
        home.write(replace(state, services=tuple(replace(service, process=me) for service in state.services)))
    return f"127.0.0.1:{state.get('mesh-0').ports['grpc']}"


def contexts(tmp_path: Path, text: str) -> None:
    (tmp_path / "config" / "mmctl").mkdir(parents=True)
    (tmp_path / "config" / "mmctl" / "config.yaml").write_text(text)


def test_endpoints_are_taken_repeated_and_with_commas() -> None:
    assert resolve(Target(endpoints=("a:1,b:2", "c:3", "a:1"))).endpoints == ("a:1", "b:2", "c:3")


@pytest.mark.parametrize("text", ["host", "host:", ":8033", "http://host:8033", "host:grpc"])
def test_endpoint_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="write host:port"):
        parse_endpoints([text])


@pytest.mark.parametrize(
    ("target", "error"),
    [
        (Target(endpoints=("a:1",), kv_store="etcd:b:2"), "give one"),
        (Target(endpoints=("a:1",), service="mesh"), "belong to --kv-store"),
        (Target(kv_store="etcd:b:2"), "needs --service"),
    ],
)
def test_options_that_exclude_each_other_are_refused(target: Target, error: str) -> None:
    with pytest.raises(Usage, match=error):
        resolve(target)


def test_mesh_on_this_machine_is_meant_when_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = local_mesh(tmp_path / "data" / "mmctl" / "default")
    assert resolve(Target()).endpoints == (endpoint,)
    assert capsys.readouterr().err == ""


def test_environment_is_meant_before_the_mesh_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_mesh(tmp_path / "data" / "mmctl" / "default")
    monkeypatch.setenv("MMCTL_ENDPOINT", "elsewhere:1")
    assert resolve(Target()).endpoints == ("elsewhere:1",)


def test_data_directory_that_is_named_is_meant_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMCTL_ENDPOINT", "elsewhere:1")
    endpoint = local_mesh(tmp_path / "mine")
    assert resolve(Target(data_dir=tmp_path / "mine")).endpoints == (endpoint,)
    local_mesh(tmp_path / "stale", is_up=False)
    with pytest.raises(Unavailable, match=r"no mesh is up in .*stale: start it with `mmctl up --data-dir"):
        resolve(Target(data_dir=tmp_path / "stale"))


def test_environment_is_meant_when_no_mesh_is_up_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local_mesh(tmp_path / "data" / "mmctl" / "default", is_up=False)
    monkeypatch.setenv("MMCTL_ENDPOINT", "a:1,b:2")
    assert resolve(Target()).endpoints == ("a:1", "b:2")


def test_nothing_to_go_by_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match=r"start one with `mmctl up`, or name one with --endpoint"):
        resolve(Target())


def test_context_is_meant_last_and_can_be_chosen(tmp_path: Path) -> None:
    contexts(
        tmp_path,
        "current: prod\ncontexts:\n  prod: {endpoint: [a:1, b:2]}\n"
        "  etcd: {kv_store: 'etcd:e:2379', service: mesh, prefix: mm}\n",
    )
    assert resolve(Target()).endpoints == ("a:1", "b:2")
    assert resolve(Target(context="etcd")) == Target(kv_store="etcd:e:2379", service="mesh", prefix="mm")
    with pytest.raises(Usage, match="no context 'prd'; did you mean 'prod'"):
        resolve(Target(context="prd"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("contexts: [", "not YAML"),
        ("[]", "contexts is an object"),
        ("contexts: {a: {endpoint: 'a:1'}}", "which context"),
        ("current: a\ncontexts: {a: 5}", "an object with endpoint"),
        ("current: a\ncontexts: {a: {endpont: 'a:1'}}", "unknown field 'endpont'; did you mean 'endpoint'"),
        ("current: a\ncontexts: {a: {endpoint: 5}}", "every field is a text"),
        ("current: a\ncontexts: {a: {endpoint: 'a:1', kv_store: 'etcd:x'}}", "either endpoint, or kv_store"),
        ("current: a\ncontexts: {a: {kv_store: 'etcd:x'}}", "needs --service"),
    ],
)
def test_mistake_in_the_contexts_is_named(text: str, error: str, tmp_path: Path) -> None:
    contexts(tmp_path, text)
    with pytest.raises(Usage, match=error):
        resolve(Target())


def test_missing_file_of_contexts_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"config\.yaml: there is no context in it; `mmctl context set` makes one"):
        resolve(Target(context="prod"))


def test_id_that_is_not_plain_ascii_goes_in_the_binary_header() -> None:
    assert model_header("a b/c") == (("mm-model-id", "a b/c"),)
    assert model_header("ü") == (("mm-model-id-bin", "ü".encode()),)
    assert model_header("a\nb") == (("mm-model-id-bin", b"a\nb"),)


def test_mesh_on_this_machine_is_not_meant_where_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_mesh(tmp_path / "data" / "mmctl" / "default")
    assert local_state(Target()) is not None
    monkeypatch.setenv("MMCTL_ENDPOINT", "d:4")
    assert local_state(Target()) is None
    assert local_state(Target(data_dir=tmp_path / "data" / "mmctl" / "default")) is not None
