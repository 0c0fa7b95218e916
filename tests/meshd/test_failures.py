"""Loads that fail, on live instances: tried on each, and again when the failures do not count any more."""

from __future__ import annotations

from typing import Any

import grpc

from runtimes import sdk
from runtimes.fake import Fake
from tests.client import refused
from tests.meshd.mesh import Instance, mesh
from tests.processes import until


class Repairable(Fake):
    """Cannot load anything until it is mended."""

    is_mended = False

    async def load(self, model: sdk.ModelInfo) -> Any:
        if not self.is_mended:
            self.counts.setdefault(model.id, self.total).failed_loads += 1
            raise sdk.LoadError(grpc.StatusCode.INTERNAL, "no disk")
        return await super().load(model)


def expired(instance: Instance) -> float:
    return instance.metrics().get('meshd_decisions{rule="expire",}', 0)


def test_a_model_that_failed_everywhere_is_loaded_again_when_the_failures_are_off_the_record() -> None:
    """Each instance takes its own off, without being asked; MM_LOAD_FAILURE_EXPIRY_TIME_MS says when."""
    with mesh(2, runtime=Repairable, MM_LOAD_FAILURE_EXPIRY_TIME_MS="3000") as pair:
        pair.client.register("m")
        assert refused(lambda: pair.client.infer("m")) == ("INTERNAL", "INTERNAL: no disk")
        assert all(instance.fake.total.failed_loads for instance in pair.instances)
        until(lambda: all(expired(instance) for instance in pair.instances), "each has taken its own off")
        until(lambda: "failedIn" not in (pair.record("m") or {}), "they are off the record")
        for instance in pair.instances:
            instance.fake.is_mended = True
        assert pair[1].client.infer("m").body == b"hello"
