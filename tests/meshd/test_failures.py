"""Loads that fail, on live instances: once on each, not again while that counts, and again when it does not."""

from __future__ import annotations

from typing import Any

import grpc

from runtimes import sdk
from runtimes.fake import Fake
from tests.client import refused
from tests.meshd.mesh import mesh
from tests.processes import until


class Repairable(Fake):
    """Cannot load anything until it is mended."""

    is_mended = False

    async def load(self, model: sdk.ModelInfo) -> Any:
        if not self.is_mended:
            self.counts.setdefault(model.id, self.total).failed_loads += 1
            raise sdk.LoadError(grpc.StatusCode.INTERNAL, "no disk")
        return await super().load(model)


def test_a_model_that_failed_everywhere_is_loaded_again_when_the_failures_are_off_the_record() -> None:
    """Each instance takes its own off, without being asked; MM_LOAD_FAILURE_EXPIRY_TIME_MS says when."""
    with mesh(2, runtime=Repairable, MM_LOAD_FAILURE_EXPIRY_TIME_MS="3000") as pair:
        pair.client.register("m")
        assert refused(lambda: pair.client.infer("m")) == ("INTERNAL", "INTERNAL: no disk")
        assert [instance.fake.total.failed_loads for instance in pair.instances] == [1, 1]
        for instance in pair.instances:
            instance.fake.is_mended = True
        until(lambda: "failedIn" not in (pair.record("m") or {}), "they are off the record")
        assert pair[1].client.state("m") == "NOT_LOADED"
        assert pair[1].client.infer("m").body == b"hello"
        expired = sum(instance.metrics()['meshd_decisions{rule="expire",}'] for instance in pair.instances)
        assert expired == 2
