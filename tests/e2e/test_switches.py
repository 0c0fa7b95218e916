"""What is set for a mesh of real processes on a real etcd, and how its instances stand to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meshcore.kv import ANY, DELETE, Write
from meshd.store.connect import open_store, parse_kv_store
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, instance_of, refused
from tests.mmctl.meshes import mmctl
from tests.processes import Instance, Mesh, got, until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.long]

RPM = "scaleup_rpm_threshold"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two instances, one of which keeps a journal."""
    directory = tmp_path_factory.mktemp("switches")
    with Mesh(directory, {"MM_MIN_CHURN_AGE_MS": "0"}) as made:
        made.fake("a", "--capacity=64MiB", MM_JOURNAL_PATH=str(directory / "a.jsonl"))
        made.fake("b", "--capacity=64MiB")
        made.start()
        yield made


def put(mesh: Mesh, name: str, value: bytes | None) -> None:
    """As somebody with a hand in etcd does."""

    async def write() -> None:
        store = open_store(parse_kv_store(f"etcd:http://{mesh.etcd.address}"), Random())
        try:
            await store.commit(Write(f"/mm/mm/config/{name}", ANY, DELETE if value is None else value))
        finally:
            await store.close()

    asyncio.run(write())


def setting(client: Client, name: str) -> tuple[str, str]:
    (found,) = client.v1.GetSettings(wire.GetSettingsRequest(names=[name]), timeout=GUARD_S).settings
    return found.value, found.origin


def fails_to_start(instance: Instance) -> str:
    """The last line of an instance that ends by itself before it is ready."""
    instance.start(wait=False)
    assert instance.meshd.wait() == 1
    return instance.meshd.said().rstrip().splitlines()[-1]


def static(model: str, path: str = "", **more: Any) -> dict[str, Any]:
    return {"modelId": model, "modelInfo": {"type": "fake", "path": path}, **more}


def test_what_is_written_to_etcd_is_in_force_at_once_and_replays(mesh: Mesh, tmp_path: Path) -> None:
    both = (mesh["a"], mesh["b"])
    for value, expected in ((b"50", ("50", "store")), (b"x", ("50", "store")), (None, ("2000", "default"))):
        put(mesh, RPM, value)
        for instance in both:
            until(lambda i=instance, e=expected: setting(i.client, RPM) == e, f"{value!r}")  # type: ignore[misc]
    for instance in both:
        until(lambda i=instance: f"config/{RPM}=x is not" in i.meshd.said(), "it is told")  # type: ignore[misc]
        assert instance.meshd.said().count(f"config/{RPM}=x is not allowed; allowed: a whole number from 10") == 1
    mesh["a"].client.register("logged", load=True)
    put(mesh, "log_each_invocation", b"true")
    until(
        lambda: (
            mesh["a"].client.infer("logged")
            and any("invoking model runtime" in instance.meshd.said() for instance in both)
        ),
        "a request is logged",
    )
    put(mesh, "logger_level", b"ERROR")
    until(lambda: setting(mesh["a"].client, "logger_level") == ("ERROR", "store"), "the level is another")
    said = mesh["a"].meshd.said()
    mesh["a"].client.register("quiet", load=True)
    assert mesh["a"].meshd.said() == said
    for name in ("log_each_invocation", "logger_level"):
        put(mesh, name, None)
    until(lambda: setting(mesh["a"].client, "logger_level") == ("info", "default"), "the level is as it was")
    mesh["a"].meshd.stop()
    replayed = mmctl("replay", str(mesh["a"].env["MM_JOURNAL_PATH"]), "-o", "json")
    assert (replayed.code, replayed.json[0]["is_same"]) == (0, True), replayed.err
    assert '"Tuned"' in Path(mesh["a"].env["MM_JOURNAL_PATH"]).read_text("utf-8")
    mesh["a"].start()
    mesh.settle()


def test_no_instance_starts_while_that_is_disabled(mesh: Mesh, tmp_path: Path) -> None:
    reason = tmp_path / "termination"
    late = mesh.fake("late", "--capacity=64MiB", LL_TERMINATION_MSG_PATH=str(reason))
    put(mesh, "disable", b"maintenance")
    sentence = '"/mm/mm/config/disable" is set in the store, so no instance starts: delete it, or set it to false'
    assert fails_to_start(late).endswith(sentence)
    assert reason.read_text() == f"Service startup failed: {sentence}\n"
    assert mesh["a"].is_ready()
    put(mesh, "disable", b"false")
    assert late.start().is_ready()
    assert late.meshd.stop() == 0
    put(mesh, "disable", None)


def test_what_is_kept_of_models_is_set_from_the_command_line(mesh: Mesh) -> None:
    at = ("--endpoint", mesh["a"].address)
    lines = "\n".join(
        json.dumps({"name": name, "type": "fake", **more})
        for name, more in (("gold", {"min": 2, "max": 4, "priority": 9}), ("plain", {}), ("few", {"max": 2}))
    )
    assert mmctl("register", "-f", "-", *at, stdin=lines).code == 0
    done = mmctl("set", "gold", "plain", "--max", "3", "--pin", *at, "-o", "json")
    assert (done.code, [row["result"] for row in done.json]) == (0, ["changed", "changed"])
    told = {row["id"]: row for row in mmctl("list", *at, "-o", "json").json}
    kept = [
        [told[name][field] for field in ("min_copies", "max_copies", "pinned", "priority")]
        for name in ("gold", "plain")
    ]
    assert kept == [[2, 3, True, 9], [0, 3, True, 5]]
    mixed = mmctl("set", "gold", "few", "nobody", "--min", "3", *at, "-o", "json")
    assert (mixed.code, [(row["id"], row["result"], row["code"]) for row in mixed.json]) == (
        1, [("gold", "changed", "OK"), ("few", "failed", "INVALID_ARGUMENT"), ("nobody", "failed", "NOT_FOUND")],
    )  # fmt: skip
    assert mmctl("set", "nobody", "--min", "3", *at).code == 3
    refused_line = json.dumps({"name": "gold", "type": "other"}) + json.dumps({"name": "new", "type": "fake"})
    some = mmctl("register", "-f", "-", *at, "-o", "json", stdin=refused_line)
    assert (some.code, [(row["id"], row["code"]) for row in some.json]) == (
        1,
        [("gold", "ALREADY_EXISTS"), ("new", "OK")],
    )


def test_settings_of_the_mesh_are_set_from_the_command_line(mesh: Mesh) -> None:
    at = ("--endpoint", mesh["a"].address)
    assert mmctl("config", "set", RPM, "60", "--dry-run", *at).code == 0
    assert setting(mesh["a"].client, RPM)[1] == "default"
    done = mmctl("config", "set", RPM, "60", *at, "-o", "json")
    assert (done.code, done.json["value"], done.json["origin"]) == (0, "60", "store")
    for name in ("a", "b"):
        until(lambda name=name: setting(mesh[name].client, RPM) == ("60", "store"), "it is in force")  # type: ignore[misc]
    shown = mmctl("config", "get", RPM, "--endpoint", mesh["b"].address)
    assert [word in shown.out for word in (RPM, "60", "requests a minute", "store")] == [True] * 4
    listed = mmctl("config", "list", *at, "-o", "name").out.split()
    assert listed == ["disable", "log_each_invocation", "logger_level", RPM, "send_destination_id"]
    assert len(mmctl("config", "list", "--all", *at, "-o", "name").out.split()) > 60
    etcd = ("--kv-store", f"etcd:http://{mesh.etcd.address}", "--service", "mm", "--prefix", "mm")
    assert mmctl("config", "get", RPM, *etcd, "-o", "json").json["value"] == "60"
    assert mmctl("config", "unset", RPM, *etcd).code == 0
    until(lambda: setting(mesh["b"].client, RPM) == ("2000", "default"), "it is as it was")
    assert mmctl("config", "get", "loger_level", *at).code == 3
    for dry_run in ((), ("--dry-run",)):
        assert mmctl("config", "set", "loger_level", "info", *at, *dry_run).code == 3
        assert mmctl("config", "set", "MM_ZONE", "z", *at, *dry_run).code == 1


def test_an_instance_that_only_reads_serves_what_others_register(mesh: Mesh) -> None:
    reader = mesh.fake("reader", "--capacity=64MiB", KV_READ_ONLY="true").start()
    mesh.settle()
    mesh["a"].client.register("shared")
    until(lambda: reader.client.state("shared") != "NOT_FOUND", "it knows of the model")
    assert instance_of(reader.client.infer("shared")) in ("a", "b", "reader")
    refusal = ("INTERNAL", "model-mesh is in read-only mode")
    assert refused(lambda: reader.client.register("other")) == refusal
    assert refused(lambda: reader.client.unregister("shared")) == refusal
    changed = mmctl("set", "shared", "--pin", "--endpoint", reader.address, "-o", "json")
    assert (changed.code, changed.json[0]["code"], changed.json[0]["error"]) == (1, *refusal)
    problems = mmctl("status", "--endpoint", reader.address, "-o", "json").json["problems"]
    assert "read_only" in [problem["kind"] for problem in problems]
    assert mesh["a"].client.state("other") == "NOT_FOUND"
    assert reader.meshd.stop() == 0


def test_models_that_have_to_be_there_are_or_the_start_ends(mesh: Mesh) -> None:
    models = [static("from-the-start", ensureLoaded=True), static("registered")]
    ready = mesh.fake("ready", "--capacity=64MiB", MM_AUTO_REGISTER_MODELS=json.dumps(models)).start()
    until(lambda: ready.client.state("from-the-start") == "LOADED", "told of by the registry, if it is elsewhere")
    assert ready.client.state("registered") == "NOT_LOADED"
    assert ready.meshd.stop() == 0
    bad = [static("bad", "fake:?fail=INTERNAL&fail_text=no such file", ensureLoaded=True)]
    broken = mesh.fake("broken", "--capacity=64MiB", MM_AUTO_REGISTER_MODELS=json.dumps(bad))
    assert fails_to_start(broken).endswith("static model bad could not be loaded: INTERNAL: no such file")
    until(lambda: "broken" not in mesh["a"].client.instances(), "its record is gone")


def test_a_build_that_can_load_nothing_never_takes_over(mesh: Mesh) -> None:
    """All of its loads take too long; it is alive, answers, and is not ready until it is replaced."""
    new = mesh.fake(
        "new", "--capacity=64MiB", "--load-ms=60000", "--load-timeout-ms=100", "--loading-concurrency=8",
        MM_SERVICE_NAME="other",
    ).start()  # fmt: skip
    for number in range(21):
        assert new.is_ready()
        new.client.register(f"m{number}", load=True)
    text = "21 of 21 loads failed here"
    until(lambda: not new.is_ready(), "it is ready no more")
    ready, live = (got(f"http://127.0.0.1:{new.probe_port}/{probe}") for probe in ("ready", "live"))
    assert ready == (503, f"not ready: {text}, so it stays out of use (fail-fast)\n")
    assert live == (200, "alive\n")
    (line,) = [line for line in new.meshd.said().splitlines() if " ERROR " in line]
    assert line.endswith(f"meshd.decisions: failfast  -> new: {text}: not ready any more, for good")
    assert new.meshd.stop() == 0
