"""Scripts for the kubectl that replays answers: rollouts as Kubernetes goes through them, and as they get stuck."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.mmctl import kube
from tests.mmctl.kube import NEW, OLD, PodNow

Look = dict[str, Any]

A, B, C, D = "x2k4q", "m9tzw", "q8v7n", "h5r2c"
OLD_PODS = PodNow(OLD, A), PodNow(OLD, B)
NEW_PODS = PodNow(NEW, C), PodNow(NEW, D)
PULLS = ("ImagePullBackOff", 'Back-off pulling image "registry.example/meshd:1.0"')
REFUSED = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"
FORBIDDEN = (
    'Error from server (Forbidden): deployments.apps "model-mesh" is forbidden: User "dev" cannot patch resource'
    ' "deployments" in API group "apps" in the namespace "serving"'
)


def look(
    pods: Sequence[PodNow], at: tuple[int, int, int], conditions: Sequence[Mapping[str, str]] = (), paused: bool = False
) -> Look:
    """One look. ``at``: the Deployment's revision (odd ones have the old image), generation, observed generation."""
    revision, generation, observed = at
    current, other = (OLD, NEW) if revision != 2 else (NEW, OLD)
    there = [pod for pod in pods if not pod.is_going]
    ready = sum(pod.is_ready for pod in there)
    updated = sum(pod.replica_set == current for pod in there)
    image = {OLD: kube.OLD_IMAGE, NEW: kube.NEW_IMAGE}
    sets = [kube.replica_set(OLD, 3 if revision == 3 else 1, kube.OLD_IMAGE, 2)]
    if revision > 1:
        sets.append(kube.replica_set(NEW, 2, kube.NEW_IMAGE, 1))
    asked = image[current] if generation == observed else image[other]
    counts = (len(there), updated, ready, ready)
    return {
        "deployment": kube.deployment(asked, revision, generation, observed, counts, conditions, paused),
        "listed": kube.listed(sets, pods),
    }


def waiting(reason: tuple[str, str]) -> PodNow:
    """The first new pod, which is not ready for this reason."""
    return PodNow(NEW, C, is_ready=False, waits=reason)


START = [look(OLD_PODS, (1, 1, 1))]
SURGES = [look(OLD_PODS, (1, 2, 1)), look((*OLD_PODS, waiting(("ContainerCreating", ""))), (2, 2, 2))]
SWAPS = [
    look((*OLD_PODS, NEW_PODS[0]), (2, 2, 2)),
    look((PodNow(OLD, A, is_going=True), OLD_PODS[1], NEW_PODS[0]), (2, 2, 2)),
    look((OLD_PODS[1], *NEW_PODS), (2, 2, 2)),
    look((PodNow(OLD, B, is_going=True), *NEW_PODS), (2, 2, 2)),
    look(NEW_PODS, (2, 2, 2)),
]
STUCK = look((*OLD_PODS, waiting(PULLS)), (2, 2, 2))
UNDONE = [look((*OLD_PODS, waiting(PULLS)), (2, 3, 2)), look(OLD_PODS, (3, 3, 3))]
COMING = kube.deployment(kube.NEW_IMAGE, 1, 2, 1, (2, 2, 2, 2))
TURNS = {"set": "set", "apply": "set", "rollout pause": "pause", "rollout resume": "resume", "rollout undo": "undo"}


def script(stages: Mapping[str, Sequence[Look]], **more: Any) -> dict[str, Any]:
    """A whole script; the stage "start" comes before anything is changed."""
    return {"stages": {"start": START, "undo": UNDONE, **stages}, "turns": TURNS, "coming": COMING, **more}


def install(folder: Path, wanted: Mapping[str, Any]) -> tuple[Path, Path]:
    """A kubectl that replays ``wanted``: its path, and that of the script that $KUBECTL_SCRIPT has to name."""
    replay = Path(__file__).with_name("scripted_kubectl.py")
    binary = folder / "kubectl"
    binary.write_text(f"#!{sys.executable} -IS\n{replay.read_text('utf-8')}", "utf-8")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    file = folder / "script.json"
    file.write_text(json.dumps(wanted), "utf-8")
    return binary, file


def calls(file: Path) -> list[list[str]]:
    """All calls of the kubectl so far, without the flags that each has."""
    return [line["call"] for line in _kept(file)]


def whole_calls(file: Path) -> list[list[str]]:
    """The same with all flags."""
    return [line["arguments"] for line in _kept(file)]


def begin_again(file: Path) -> None:
    """Replay from the first look."""
    Path(f"{file}.at").unlink()


def _kept(file: Path) -> list[dict[str, list[str]]]:
    kept = Path(f"{file}.calls")
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []


def real_kubectl() -> str | None:
    """The real one, if this machine has it."""
    return shutil.which("kubectl") or shutil.which(str(Path(sys.executable).parent / "kubectl"))
