"""Upgrades of a Deployment through a kubectl that replays rollouts, by the command line; etcd is a real one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meshcore.kv import ANY, Write
from meshcore.records import Failure, ModelRecord
from meshd.store.connect import open_store, parse_kv_store
from mmctl import registry
from mmctl.__main__ import run
from mmctl.errors import Unavailable
from mmctl.upgrade import carrying, kubectl, reach
from mmctl.upgrade.rollout import REVISION
from tests.builders import instance
from tests.client import GUARD_S
from tests.etcd import EtcdServer
from tests.kubectl import find_kubectl
from tests.mmctl import kube, rollouts
from tests.mmctl.rollouts import NEW_PODS, OLD_PODS, PULLS, STUCK, SURGES, SWAPS, look, script, waiting
from tests.processes import until

pytestmark = pytest.mark.etcd

PODS = (*OLD_PODS, *NEW_PODS)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd")).start()
    yield server
    server.kill()


@dataclass
class Cluster:
    """A mesh in etcd whose pods the replayed kubectl tells of."""

    etcd: EtcdServer
    folder: Path
    service: str
    set_variable: Callable[[str, str], None]
    capsys: pytest.CaptureFixture[str]
    file: Path = field(default_factory=Path)
    binary: Path = field(default_factory=Path)

    def replay(self, wanted: Mapping[str, Any]) -> None:
        self.binary, self.file = rollouts.install(self.folder, wanted)
        self.set_variable("KUBECTL_SCRIPT", str(self.file))

    @property
    def where(self) -> tuple[str, ...]:
        """What names the mesh."""
        return "--kv-store", f"etcd:http://{self.etcd.address}", "--service", self.service

    def mmctl(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        code = run(["upgrade", *arguments, *self.where])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def start(self, *arguments: str) -> tuple[int, str, str]:
        deployment = ("--deployment", kube.NAME, "--image", kube.NEW_IMAGE, "--kubectl", str(self.binary))
        return self.mmctl("start", *deployment, *arguments)

    def status(self) -> dict[str, Any]:
        code, out, err = self.mmctl("status", "-o", "json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def changes(self) -> list[str]:
        """The calls that changed something."""
        return [
            " ".join(call[:2]) for call in rollouts.calls(self.file)
            if call[0] in ("set", "apply", "rollout") and "--dry-run=server" not in call
        ]  # fmt: skip

    def write(self, *writes: Write) -> None:
        async def written() -> None:
            store = open_store(parse_kv_store(f"etcd:http://{self.etcd.address}"), Random(1))
            await store.commit(*writes)
            await store.close()

        asyncio.run(written())

    def key(self, rest: str) -> str:
        return f"/tas-runtime/{self.service}/{rest}"


@pytest.fixture
def cluster(
    etcd: EtcdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cluster]:
    """Pods of both versions are known to etcd; looks follow each other at once."""
    monkeypatch.setitem(carrying.LOOK_S, "kubernetes", 0.0)
    for module in (registry, reach):
        monkeypatch.setattr(module, "CHECK_S", GUARD_S)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    made = Cluster(etcd, tmp_path, tmp_path.name, monkeypatch.setenv, capsys)
    record = instance(count=3, used_units=100).encode()
    made.write(*(Write(made.key(f"instances/{pod.name[-12:]}"), ANY, record) for pod in PODS))
    yield made
    check_syntax(tmp_path, rollouts.whole_calls(made.file))


_checked: set[str] = set()


def check_syntax(folder: Path, calls: list[list[str]]) -> None:
    """The real kubectl understands each call: nothing keeps it from asking the server, which is not there."""
    real = rollouts.real_kubectl()
    config = folder / "kubeconfig"
    server = {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "production", "context": {"cluster": "nowhere", "user": ""}}
    config.write_text(
        json.dumps({
            "apiVersion": "v1", "kind": "Config", "clusters": [server], "contexts": [context],
            "current-context": "production",
        }), "utf-8",
    )  # fmt: skip
    for call in calls:
        shape = " ".join(argument.replace(str(folder), "") for argument in call)
        if real is None or shape in _checked or "current-context" in call:
            continue
        _checked.add(shape)
        done = subprocess.run(
            [real, *call], capture_output=True, text=True, env={**os.environ, "KUBECONFIG": str(config)}, check=False
        )
        assert isinstance(kubectl.failure(call, done.stderr), Unavailable), (call, done.stderr)


def test_the_real_kubectl_is_asked_about_all_calls() -> None:
    """After each test here, where there is one; else this test is omitted."""
    assert rollouts.real_kubectl() == find_kubectl()


def test_rollout_is_begun_watched_and_done(cluster: Cluster) -> None:
    cluster.replay(script({"set": [*SURGES, *SWAPS]}))
    code, out, err = cluster.start()
    assert (code, out) == (0, ""), err
    assert cluster.changes() == ["set image"]
    assert "done: all of it is registry.example/meshd:1.0" in err
    found = cluster.status()
    assert (found["phase"], found["kind"], found["runner"]) == ("done", "kubernetes", "")
    assert [one["id"] for one in found["instances"] if one["side"] == "new"] == [pod.name[-12:] for pod in NEW_PODS]
    looks = [call for call in rollouts.calls(cluster.file) if call[:2] == ["get", "replicasets,pods"]]
    assert looks[0] == ["get", "replicasets,pods", "-l", "app=model-mesh", "-o", "json"]


def test_image_that_never_comes_is_rolled_back_by_itself(cluster: Cluster) -> None:
    cluster.replay(script({"set": [*SURGES, STUCK]}))
    code, _, err = cluster.start("--auto-rollback")
    assert code == 1
    assert cluster.changes() == ["set image", "rollout undo"]
    assert ["rollout", "undo", "deployment/model-mesh", "--to-revision=1"] in rollouts.calls(cluster.file)
    assert f"rolling back: pod {waiting(PULLS).name}: ImagePullBackOff: Back-off pulling image" in err
    assert "error: the upgrade to registry.example/meshd:1.0 was rolled back: pod model-mesh" in err
    assert cluster.status()["phase"] == "rolled_back"


def test_image_that_comes_late_ends_the_hold(cluster: Cluster) -> None:
    held = [look((*OLD_PODS, waiting(PULLS)), (2, 3, 3), [kube.PAUSED], paused=True)] * 3
    pulled = [look((*OLD_PODS, NEW_PODS[0]), (2, 3, 3), [kube.PAUSED], paused=True)]
    cluster.replay(script({"set": [STUCK], "pause": [*held, *pulled], "resume": SWAPS}))
    code, _, err = cluster.start()
    assert code == 0, err
    assert cluster.changes() == ["set image", "rollout pause", "rollout resume"]
    assert "held: pod model-mesh-66bfc84d9b-q8v7n: ImagePullBackOff" in err
    assert "rolling: goes on" in err


def test_deadline_holds_until_another_terminal_aborts(cluster: Cluster) -> None:
    """Paused, the Deployment no longer says that its deadline has passed: the hold stays."""
    pods = (*OLD_PODS, waiting(("ContainerCreating", "")))
    held = [look(pods, (2, 3, 3), [kube.PAUSED], paused=True)]
    cluster.replay(
        script({"set": [*SURGES, look(pods, (2, 2, 2), [kube.EXCEEDED])], "pause": held, "resume": [SURGES[1]]})
    )
    ended: list[int] = []
    runner = threading.Thread(target=lambda: ended.append(cluster.start()[0]))
    runner.start()
    until(lambda: cluster.changes() == ["set image", "rollout pause"], "it is held")
    looks = len(rollouts.calls(cluster.file))
    until(lambda: len(rollouts.calls(cluster.file)) > looks + 4, "it goes on looking")
    again = cluster.start()
    assert again[0] == 1
    command = [sys.executable, "-m", "mmctl", "upgrade", "status", "--watch", *cluster.where]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert any(line.startswith("held: ProgressDeadlineExceeded") for line in watching.stderr)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(GUARD_S) == 0
        assert "error" not in watching.stderr.read()
    code, _, _ = cluster.mmctl("abort")
    runner.join()
    assert (code, ended) == (0, [1])
    assert cluster.changes() == ["set image", "rollout pause", "rollout resume", "rollout undo"]
    events = [event["text"] for event in cluster.status()["events"]]
    assert any(text.startswith("held: ProgressDeadlineExceeded: ReplicaSet") for text in events)
    assert any(text.startswith("rolling back: asked for by") for text in events)


def test_quota_holds(cluster: Cluster) -> None:
    cluster.replay(script({"set": [look(OLD_PODS, (2, 2, 2), [kube.PROGRESSING, kube.QUOTA])]}))
    code, _, err = cluster.start("--auto-rollback")
    assert code == 1
    assert 'FailedCreate: pods "model-mesh-66bfc84d9b-x" is forbidden: exceeded quota' in err


def test_models_that_fail_on_new_pods_only_turn_it_back(cluster: Cluster) -> None:
    new, old = NEW_PODS[0].name[-12:], OLD_PODS[0].name[-12:]
    failed = Failure(2**40, "no such file")  # by the clock of a pod that is years behind
    cluster.write(
        Write(cluster.key("registry/good"), ANY, ModelRecord("t", failures={new: failed}).encode()),
        Write(cluster.key("registry/bad"), ANY, ModelRecord("t", failures={new: failed, old: failed}).encode()),
    )
    cluster.replay(script({"set": [*SURGES, SWAPS[0]]}))
    code, _, err = cluster.start("--max-failed", "0", "--auto-rollback")
    assert code == 1
    assert "rolling back: 1 model fails to load on new instances (limit 0): good" in err


def test_no_permission_is_told_before_anything_is_begun(cluster: Cluster) -> None:
    cluster.replay(script({"set": SWAPS}, refused={"set image": rollouts.FORBIDDEN}))
    code, _, err = cluster.start()
    assert (code, cluster.changes()) == (1, [])
    assert err.startswith(
        "error: no permission; kubectl set image deployment/model-mesh: Error from server (Forbidden)"
    )
    assert cluster.mmctl("status")[0] == 3


def test_no_permission_to_pause_leaves_the_hold_on_record(cluster: Cluster) -> None:
    cluster.replay(script({"set": [STUCK]}, refused={"rollout pause": rollouts.FORBIDDEN}))
    code, _, err = cluster.start()
    assert code == 1
    assert "error: no permission; kubectl rollout pause deployment/model-mesh" in err
    assert (cluster.status()["phase"], cluster.status()["runner"]) == ("held", "")
    code, _, err = cluster.start()
    assert (code, cluster.changes()) == (1, ["set image", "rollout pause"])
    assert "an upgrade to registry.example/meshd:1.0 is under way (held)" in err
    code, _, err = cluster.mmctl("abort", "--dry-run")
    assert (code, err.strip()) == (
        0, "kserve/modelmesh:v0.12.0 would be brought back in place of registry.example/meshd:1.0 (--dry-run)"
    )  # fmt: skip
    assert cluster.mmctl("abort")[0] == 0
    assert cluster.changes()[-1] == "rollout undo"


def test_server_that_is_not_there_is_unavailable(cluster: Cluster) -> None:
    cluster.replay(script({"start": [{"error": rollouts.REFUSED}]}))
    code, _, err = cluster.start()
    assert code == 4
    assert "The connection to the server 127.0.0.1:6443 was refused" in err


def test_server_that_goes_and_comes_is_waited_for(cluster: Cluster) -> None:
    cluster.replay(script({"set": [{"error": rollouts.REFUSED}, {"error": rollouts.REFUSED}, *SURGES, *SWAPS]}))
    code, _, err = cluster.start()
    assert code == 0, err
    assert err.count("waits for it to come back") == 1


@pytest.mark.parametrize("answer", [{}, {"kind": "Deployment", "spec": 7}, {"kind": "Status", "metadata": {}}])
def test_answer_that_is_not_what_was_asked_for_is_told(cluster: Cluster, answer: dict[str, Any]) -> None:
    pods = {**rollouts.START[0], "listed": {"items": [{"metadata": {}}]}}
    for script_of in (
        script({"start": [{**rollouts.START[0], "deployment": answer}]}), script({"start": [pods]}),
        script({}, coming=answer),
    ):  # fmt: skip
        cluster.replay(script_of)
        code, _, err = cluster.start()
        assert (code, cluster.changes()) == (1, []), err
        assert err.startswith("error: what kubectl says of deployment model-mesh cannot be understood"), err


def test_rollback_that_stands_still_ends_with_words_and_is_gone_on_with(cluster: Cluster) -> None:
    cluster.replay(script({"set": [STUCK], "undo": rollouts.UNDONE[:1]}))
    code, _, err = cluster.start("--auto-rollback", "--max-wait", "20ms")
    assert code == 1
    assert "stalled: going back, nothing has moved for" in err
    assert "error: the rollback to kserve/modelmesh:v0.12.0 stands still: going back" in err
    assert "`mmctl upgrade start --resume` goes on with it" in err
    assert (cluster.status()["phase"], cluster.status()["held_for"]) == ("rolling_back", "stalled")
    cluster.replay(script({"start": rollouts.UNDONE}))
    code, _, err = cluster.mmctl("start", "--resume", "--max-wait", "1m")  # with the kubectl that it began with
    assert (code, cluster.status()["phase"]) == (1, "rolled_back"), err


def test_another_version_that_somebody_applies_meanwhile_turns_it_back(cluster: Cluster) -> None:
    third = look((*OLD_PODS, NEW_PODS[0]), (2, 3, 3))
    other = kube.replica_set("model-mesh-5c9d8e7f6a", 4, "registry.example/meshd:2.0", 1)
    third["deployment"]["metadata"]["annotations"][REVISION] = "4"
    third["listed"]["items"].append(other)
    cluster.replay(script({"set": [*SURGES, third]}))
    code, _, err = cluster.start("--auto-rollback")
    assert (code, cluster.changes()) == (1, ["set image", "rollout undo"]), err
    assert "another version: model-mesh-5c9d8e7f6a comes instead of model-mesh-66bfc84d9b" in err


def test_another_version_that_somebody_applies_before_it_begins_is_not_taken_for_what_was_begun(
    cluster: Cluster,
) -> None:
    other = look((*OLD_PODS, NEW_PODS[0]), (2, 3, 3))
    other["deployment"]["spec"]["template"] = kube.template("registry.example/meshd:2.0")
    cluster.replay(script({"start": [*rollouts.START, other]}))
    code, _, err = cluster.start("--auto-rollback")
    assert (code, cluster.changes()) == (1, ["rollout undo"]), err
    assert "another version: model-mesh-66bfc84d9b comes instead of registry.example/meshd:1.0" in err


def test_what_somebody_else_undid_is_not_begun_again(cluster: Cluster) -> None:
    cluster.replay(script({"set": [*SURGES, SWAPS[0], look(OLD_PODS, (3, 3, 3))]}))
    code, _, err = cluster.start()
    assert (code, cluster.changes()) == (1, ["set image"])
    assert "rolling back: somebody else has undone the rollout" in err


@pytest.mark.parametrize(
    ("stages", "more", "code", "words"),
    [
        ({"start": [look(OLD_PODS, (1, 2, 2), paused=True)]}, {}, 1, "is paused: `kubectl rollout resume"),
        ({"start": [SURGES[1]]}, {}, 1, "is in the middle of another rollout"),
        ({}, {"coming": rollouts.START[0]["deployment"]}, 1, "nothing would be another"),
        ({"start": [{"error": 'Error from server (NotFound): deployments.apps "x" not found'}]}, {}, 3, "not found"),
        ({}, {"refused": {"set image": 'error: unable to find container named "mm"'}}, 1, "unable to find container"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_begun(
    cluster: Cluster, stages: dict[str, Any], more: dict[str, Any], code: int, words: str
) -> None:
    cluster.replay(script({"set": SWAPS, **stages}, **more))
    refused, _, err = cluster.start()
    assert (refused, cluster.changes()) == (code, []), err
    assert words in err


@pytest.mark.parametrize("what", [("-f", "mesh.yaml"), ("-k", ".")])
def test_plan_shows_what_would_be_done(cluster: Cluster, tmp_path: Path, what: tuple[str, str]) -> None:
    cluster.replay(script({}))
    (tmp_path / "mesh.yaml").write_text(json.dumps(rollouts.COMING), "utf-8")
    (tmp_path / "kustomization.yaml").write_text("resources: [mesh.yaml]\n", "utf-8")
    where = ("--deployment", kube.NAME, what[0], str(tmp_path / what[1]), "--kubectl", str(cluster.binary))
    code, out, err = cluster.mmctl("plan", *where, "-o", "json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["from"], told["to"]) == (kube.OLD_IMAGE, kube.NEW_IMAGE)
    assert told["changes"] == [{"name": "image of mm", "before": kube.OLD_IMAGE, "after": kube.NEW_IMAGE}]
    assert [step["instance"] for step in told["steps"] if step["do"] == "drain"] == [pod.name[-12:] for pod in OLD_PODS]
    assert told["warnings"] == [
        "going back undoes the pods' template; other objects that were applied stay as they are"
    ]
    assert cluster.changes() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "a"], "--deployment is missing"),
        (["--deployment", "a"], "say what is new, one of --image"),
        (["--deployment", "a", "--image", "b", "-f", "c"], "say what is new, one of --image"),
        (["--deployment", "a", "-k", "gone"], "gone: no such file or directory"),
        (["--deployment", "a", "--image", "b", "--kubectl", "/gone"], "/gone is not there: install kubectl"),
        (["--deployment", "a", "--image", "b", "--capacity", "1GiB"], "do not go together"),
        (["--deployment", "a", "--image", "b", "--resume"], "say nothing about what is new"),
        (["--capacity", "1GiB"], "say what is to be upgraded: --deployment"),
    ],
)
def test_mistake_in_the_arguments_is_usage(cluster: Cluster, arguments: list[str], words: str) -> None:
    code, _, err = cluster.mmctl("start", *arguments)
    assert code == 2
    assert words in err
