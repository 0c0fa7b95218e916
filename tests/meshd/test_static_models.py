"""Models that are there from the start."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from meshd import config as configuration
from meshd.config import Host
from meshd.start_error import StartError
from meshd.static_models import wanted
from tests.client import ECHO, GUARD_S
from tests.meshd.mesh import Mesh, mesh
from tests.processes import got, until


def static(model: str, path: str = "", **more: Any) -> dict[str, Any]:
    return {"modelId": model, "modelInfo": {"type": "fake", "path": path}, **more}


def start_fails(made: Mesh, **given: str) -> str:
    """The sentence that the start of another instance ends with."""
    added = made.add(wait=False, **given)

    async def end() -> None:
        async with asyncio.timeout(GUARD_S):
            await added.task

    with pytest.raises(StartError) as caught:
        made.run(end())
    made.instances.remove(added)
    return str(caught.value)


def test_models_of_the_file_and_of_the_environment_are_there_once_an_instance_is_ready(tmp_path: Path) -> None:
    """What has to be loaded is; nothing that is used makes way for it."""
    file = tmp_path / "models.json"
    file.write_text(json.dumps([static("cold", "p"), static("same", "p")]))
    env = json.dumps([static("warm", "p", ensureLoaded=True), static("same", "p")])
    with mesh(2, MM_AUTO_REGISTER_MODELS=env, MM_AUTO_REGISTER_MODEL_PATH=str(file)) as made:
        assert {name: made.client.state(name) for name in ("cold", "same", "warm")} == {
            "cold": "NOT_LOADED", "same": "NOT_LOADED", "warm": "LOADED",
        }  # fmt: skip
        assert sum(instance.fake.total.loads for instance in made.instances) == 1
        record = made.record("warm")
        assert record is not None
        assert record["lu"] < time.time() * 1000 - 3_000_000, "as if nobody had asked for it"


def test_clients_are_let_in_when_the_models_are_loaded_and_not_before() -> None:
    with mesh(0) as made:
        env = json.dumps([static("slow", "fake:?load_ms=600000", ensureLoaded=True)])
        added = made.add(wait=False, MM_AUTO_REGISTER_MODELS=env)
        until(lambda: (made.record("slow") or {}).get("instanceIds"), "its load is under way")
        assert got(f"http://127.0.0.1:{added.probe_port}/ready") == (503, "not ready: startup\n")
        made.run(_stop(added))
        assert (made.record("slow") or {}).get("instanceIds") is None
        made.instances.remove(added)


async def _stop(added: Any) -> None:
    added.app.stop.set()
    with pytest.raises(StartError, match=r"^stopped before it was ready$"):
        await added.task


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (
            [static("good", ensureLoaded=True), static("bad", "fake:?fail=INTERNAL&fail_text=no", ensureLoaded=True)],
            "static model bad could not be loaded: INTERNAL: no",
        ),
        (
            [static("other", "there")],
            "static model other: Model already exists with different attribute values",
        ),
        (
            [static("huge", "fake:?size=100GiB", ensureLoaded=True)],
            "static model huge could not be loaded: ",
        ),
    ],
)  # fmt: skip
def test_a_model_that_is_not_to_be_had_ends_the_start_and_leaves_nothing_behind(
    models: list[dict[str, Any]], sentence: str
) -> None:
    with mesh(0) as made:
        made.put("registry/other", b'{"type":"fake","mPath":"here"}')
        assert start_fails(made, MM_AUTO_REGISTER_MODELS=json.dumps(models)).startswith(sentence)
        assert made.value("instances/i0") is None
        assert (made.record("good") or {}).get("instanceIds") is None, "what was loaded is taken out of its record"


def test_a_file_that_was_spoilt_since_the_settings_were_checked_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text("[]")
    env = {"MM_SERVICE_NAME": "s", "KV_STORE": "memory", "MM_AUTO_REGISTER_MODEL_PATH": str(file)}
    config = configuration.read(env, Host("host", "127.0.0.1", "0000"))
    assert wanted(config) == ()
    file.write_text("{")
    with pytest.raises(StartError, match=r"^MM_AUTO_REGISTER_MODEL_PATH: not JSON: "):
        wanted(config)


def test_virtual_models_come_to_point_at_theirs() -> None:
    env = json.dumps(
        [static("m", "p", vModelId="v"), static("n", "p", vModelId="w", retainAfterTransition=True, ensureLoaded=True)]
    )
    with mesh(1, MM_AUTO_REGISTER_MODELS=env) as made:
        assert {name: made.client.state(name) for name in "mn"} == {"m": "NOT_LOADED", "n": "LOADED"}
        for vmodel, model in (("v", "m"), ("w", "n")):
            answer = made.client.call(ECHO, b"hello", (("mm-vmodel-id", vmodel),))
            assert answer.initial["fake-model"] == model
        kept = {name: (made.record(name) or {}).get("autoDel", False) for name in "mn"}
        assert kept == {"m": True, "n": False}


def test_an_instance_that_only_reads_registers_none(caplog: pytest.LogCaptureFixture) -> None:
    env = json.dumps([static("m"), static("n", ensureLoaded=True)])
    with caplog.at_level(logging.WARNING), mesh(1, MM_AUTO_REGISTER_MODELS=env, KV_READ_ONLY="true") as made:
        assert made.record("m") is None
    assert "KV_READ_ONLY: 2 static models are not registered" in caplog.messages
