"""Requests at a steady rate to a mesh of `mmctl up`, as the clients behind a Service send them."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Sequence

import grpc
from grpc import aio

from mmctl.local import ports
from mmctl.local.home import Home
from mmctl.local.state import MESHD
from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc as v2_grpc

PATIENCE_S = 30


class Load:
    """Requests to the instances that say they are ready, whatever becomes of those before; ``with`` begins and ends it.

    ``rate`` is a second's; ``took_ms`` has the time of each that was answered, ``failures`` a text for each other.
    """

    def __init__(self, home: Home, rate: int, models: Sequence[str]) -> None:
        self._home, self._rate, self._models = home, rate, models
        self._is_over = threading.Event()
        self._ready: list[str] = []
        self._threads = [
            threading.Thread(target=self._follow),
            threading.Thread(target=lambda: asyncio.run(self._send())),
        ]
        self.took_ms: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Load:
        self._look()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failed: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        state = self._home.read()
        meshes = list(state.of_role(MESHD)) if state else []
        ready = [each for each in meshes if ports.probe(each.ports["probe"], "/ready")[0] == 200]
        self._ready = [f"127.0.0.1:{each.ports['grpc']}" for each in ready] or self._ready

    def _follow(self) -> None:
        while not self._is_over.wait(0.2):
            self._look()

    async def _send(self) -> None:
        rng, channels, open_ = random.Random(1), dict[str, aio.Channel](), set[asyncio.Task[None]]()
        due_s = time.monotonic()
        while not self._is_over.is_set():
            address = rng.choice(self._ready)
            channel = channels.setdefault(address, aio.insecure_channel(address))
            task = asyncio.create_task(self._ask(channel, rng.choice(self._models)))
            open_.add(task)
            task.add_done_callback(open_.discard)
            due_s += 1 / self._rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await asyncio.gather(*open_)
        for channel in channels.values():
            await channel.close()

    async def _ask(self, channel: aio.Channel, model: str) -> None:
        begun_s = time.monotonic()
        request = v2.ModelInferRequest(model_name=model, id=model)
        infer = v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        try:
            await infer(request, metadata=(("mm-model-id", model),), timeout=PATIENCE_S)
            self.took_ms.append((time.monotonic() - begun_s) * 1000)
        except grpc.RpcError as error:
            self.failures.append(f"{model}: {error!r}")
