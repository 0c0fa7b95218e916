"""How an instance stands to its mesh: one that only reads, one that waits for others, one that is out of use."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest

from meshcore.records import InstanceRecord
from protos import meshd_pb2 as wire
from runtimes import sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from runtimes.gate import Gate
from tests.client import GUARD_S, instance_of, refused, spec
from tests.meshd.mesh import mesh
from tests.processes import got, until

READ_ONLY = ("INTERNAL", "model-mesh is in read-only mode")


def test_an_instance_that_only_reads_serves_and_refuses_to_change_registrations() -> None:
    with mesh(1, KV_READ_ONLY="true") as made:
        made.put("registry/m", b'{"type":"fake"}')
        until(lambda: made.client.state("m") == "NOT_LOADED", "it knows of the model")
        assert instance_of(made.client.infer("m")) == "i0"
        assert refused(lambda: made.client.register("new")) == READ_ONLY
        assert refused(lambda: made.client.unregister("m")) == READ_ONLY
        assert made.client.state("new") == "NOT_FOUND"
        made.client.register("m")
        made.client.unregister("new")
        (result,) = made.client.register_all([spec("m", min_copies=2)])
        assert (result.code, result.text) == (13, READ_ONLY[1])
        info = made.client.v1.Info(wire.InfoRequest(), timeout=GUARD_S)
        assert info.read_only
        record = made.record("m")
        assert record is not None
        assert list(record["instanceIds"]) == ["i0"]


def test_a_started_instance_is_not_ready_while_another_is_going() -> None:
    """A record of a pod that is going stands there from the start; when it is gone the instance is ready for good."""
    going = InstanceRecord(
        start_ms=int(time.time() * 1000) - 60_000, address="127.0.0.1:1", phase="draining", is_shutting_down=True
    ).encode()
    with mesh(0) as made:
        made.put("instances/old", going)
        added = made.add(wait=False)
        waits = (503, "not ready: waits until other instances are gone: old\n")
        until(lambda: added.ready() == waits, "it waits")
        assert "old" in added.client.instances(), "clients that know it are answered"
        made.delete("instances/old")
        until(lambda: added.ready()[0] == 200, "it is ready")
        made.put("instances/old", going)
        until(lambda: "old" in added.client.instances(), "it knows of the other again")
        assert added.ready()[0] == 200


class Gated(Fake):
    """Loads when it is let."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.loads = Gate()
        self.loads.shut()

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        await self.loads.passed()
        return await super().load(model)

    async def let_all(self) -> None:
        self.loads.open()


def test_an_instance_that_still_loads_what_it_is_to_have_waits_for_whoever_goes_meanwhile() -> None:
    """Nobody was going when it began to look; by the time that it would be ready somebody is."""
    going = InstanceRecord(address="127.0.0.1:1", phase="draining", is_shutting_down=True).encode()
    static = [{"modelId": "static", "modelInfo": {"type": "fake"}, "ensureLoaded": True}]
    with mesh(0) as made:
        added = made.add(wait=False, runtime=Gated, MM_AUTO_REGISTER_MODELS=json.dumps(static))
        until(lambda: added.fake.loads.waiting == 1, "its load is under way")
        made.put("instances/old", going)
        waits = "waits until other instances are gone: old\n"
        until(lambda: added.ready() == (503, f"not ready: startup, {waits}"), "both are told")
        made.run(added.fake.let_all())
        until(lambda: added.ready() == (503, f"not ready: {waits}"), "it has started, and waits")
        made.delete("instances/old")
        until(lambda: added.ready()[0] == 200, "it is ready")


def test_a_lone_instance_is_ready_though_its_former_process_was_going() -> None:
    """It was killed while it drained, and its record outlives it."""
    with mesh(0) as made:
        made.put("instances/i0", InstanceRecord(address="127.0.0.1:1", is_shutting_down=True).encode())
        assert made.add().ready() == (200, "ready\n")


def test_models_that_nobody_asks_for_put_no_instance_out_of_use() -> None:
    """Each is to have a copy, and fails on the one instance and on the other: those are not asked for there either."""
    with mesh(2, default=Behaviour(fail="INTERNAL", fail_text="rotten")) as made:
        names = [f"m{number}" for number in range(24)]
        assert {result.code for result in made.client.register_all([spec(name, min_copies=1) for name in names])} == {0}
        until(lambda: all(_failed(made.record(name)) == {"i0", "i1"} for name in names), "all failed everywhere")
        assert [instance.ready() for instance in made.instances] == [(200, "ready\n")] * 2


def _failed(record: dict[str, Any] | None) -> set[str]:
    return set((record or {}).get("failedIn", ()))


@pytest.mark.parametrize("fails_fast", ["true", "false"])
def test_an_instance_whose_first_loads_fail_is_not_ready_any_more(
    fails_fast: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless somebody does not want that: it goes on, alive, and answers whoever asks it."""
    broken = Behaviour(fail="INTERNAL", fail_text="broken build")
    with caplog.at_level(logging.ERROR), mesh(1, default=broken, MM_FAILFAST_UPGRADE_ENABLED=fails_fast) as made:
        for number in range(21):
            made.client.register(f"m{number}", load=True)
        text = "21 of 21 loads failed here"
        told = [record.getMessage() for record in caplog.records if record.name == "meshd.decisions"]
        if fails_fast == "true":
            assert made[0].ready() == (503, f"not ready: {text}, so it stays out of use (fail-fast)\n")
            assert told == [f"failfast  -> i0: {text}: not ready any more, for good"]
        else:
            assert (made[0].ready()[0], told) == (200, [])
        made.client.register("good", json.dumps({"fail": ""}), load=True)
        assert instance_of(made.client.infer("good")) == "i0"
        assert got(f"http://127.0.0.1:{made[0].probe_port}/live")[0] == 200
