"""A client as a Service gives one: it spreads over the instances that are ready, and tries nothing twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import aiohttp
import grpc
import grpc.aio

from demo.answers import question, wrong
from demo.traffic import Ask
from demo.training import Model
from demo.zoo import SEED
from protos import grpc_predict_v2_pb2_grpc

POLL_S = 0.1
"""How often each instance is asked whether it is ready; a Service's endpoints follow their pods about as fast."""
ANSWER_S = 30.0
"""How long a request may take; a load has to fit in."""
WORKERS = 16
PROBE_S = 1.0
CLOSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where one instance is: ``host:port`` for clients, and URLs."""

    name: str
    grpc: str
    ready: str
    metrics: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: ``failure`` is the status it ended with, ``mistake`` what is wrong with its answer."""

    ask: Ask
    sent_s: float
    took_s: float
    instance: str
    failure: str = ""
    mistake: str = ""


class Endpoints:
    """The instances that are ready, found out by asking. A connection lives for as long as its instance is ready."""

    def __init__(self, addresses: Sequence[Address], http: aiohttp.ClientSession) -> None:
        self._addresses, self._http = addresses, http
        self._stubs: dict[str, Any] = {}
        self._channels: dict[str, Any] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._rng = Random(SEED)

    @property
    def ready(self) -> list[str]:
        """Names of the instances that new requests go to."""
        return list(self._stubs)

    def pick(self) -> tuple[str, Any]:
        """An instance that is ready, each as likely, and the stub to call; LookupError for none."""
        if not self._stubs:
            raise LookupError("no instance is ready")
        name = self._rng.choice(list(self._stubs))
        return name, self._stubs[name]

    async def follow(self) -> None:
        """Keep up with who is ready, forever."""
        async with asyncio.TaskGroup() as group:
            for address in self._addresses:
                group.create_task(self._follow(address))

    async def _follow(self, address: Address) -> None:
        while True:
            await self.look(address)
            await asyncio.sleep(POLL_S)

    async def look(self, address: Address) -> None:
        """Ask one instance once."""
        is_ready = bool(await get(self._http, address.ready))
        if is_ready and address.name not in self._stubs:
            channel = grpc.aio.insecure_channel(address.grpc, options=[("grpc.enable_http_proxy", 0)])
            self._channels[address.name] = channel
            self._stubs[address.name] = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        elif not is_ready and address.name in self._stubs:
            del self._stubs[address.name]
            self._close(self._channels.pop(address.name))

    def _close(self, channel: Any) -> None:
        """Close a connection when its last answer is there."""
        closing = asyncio.get_running_loop().create_task(channel.close(grace=CLOSE_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            self._close(channel)
        await asyncio.gather(*self._closing)


@asynccontextmanager
async def endpoints(addresses: Sequence[Address], http: aiohttp.ClientSession) -> AsyncIterator[Endpoints]:
    """Endpoints that are looked after while this is open; all that are ready at its start are known."""
    found = Endpoints(addresses, http)
    for address in addresses:
        await found.look(address)
    following = asyncio.create_task(found.follow())
    try:
        yield found
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await found.close()


async def get(http: aiohttp.ClientSession, url: str) -> str | None:
    """The body of an answer 200, empty for any other and for none in time; None where nobody listens."""
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=PROBE_S)) as response:
            return await response.text() if response.status == 200 else ""
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, TimeoutError):
        return ""


async def send(
    asks: Sequence[Ask], models: Sequence[Model], to: Endpoints, tell: Callable[[Answer], None]
) -> list[Answer]:
    """Send every request at its time, or as soon as a worker is free; the answers, in the order they were sent."""
    answers: list[Answer] = []
    left, began = iter(asks), time.monotonic()

    async def work() -> None:
        for ask in left:
            await asyncio.sleep(began + ask.at_s - time.monotonic())
            answer = await _ask(ask, models[ask.model], to, began)
            answers.append(answer)
            tell(answer)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return sorted(answers, key=lambda answer: answer.sent_s)


async def _ask(ask: Ask, model: Model, to: Endpoints, began: float) -> Answer:
    rows = slice(ask.row, ask.row + 1)
    sent = time.monotonic()
    instance, failure, mistake = "", "", ""
    try:
        instance, stub = to.pick()
        response = await stub.ModelInfer(
            question(model.rows[rows]), timeout=ANSWER_S, metadata=(("mm-model-id", model.name),)
        )
        mistake = wrong(response, {name: right[rows] for name, right in model.answers.items()})
    except LookupError as error:
        failure = str(error)
    except grpc.aio.AioRpcError as error:
        failure = f"{error.code().name}: {error.details()}"
    return Answer(ask, sent - began, time.monotonic() - sent, instance, failure, mistake)
