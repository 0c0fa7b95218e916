"""The asyncio driver: commands are answered, flows end with their clients, nothing is left of either."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from grpc import aio

from meshcore.asks import Asked, Done, Failed, Infer, Op, Outcome, Register, Request, Status, StatusInfo, Unregister
from meshcore.commands import Command, Load, Predict, Stop
from meshcore.errors import Code
from meshcore.events import DrainAsked, Idled, InstancesSeen, RegistrySeen
from meshcore.me import Me
from meshcore.node import Node
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshd.clock import Clock
from meshd.driver import Driver
from meshd.metrics import Metrics
from meshd.plane.inbound import Retained
from meshd.plane.methods import Methods
from meshd.plane.peer_calls import PeerCall
from meshd.plane.python import PythonPlane
from meshd.plane.stream import StreamCall
from meshd.reach import Reach
from meshd.records import Keys, Records, follow
from meshd.renewal import RenewedRuntime
from meshd.spi import RuntimeClient
from meshd.store.memory import MemoryHub, MemoryStore
from meshd.tls import Dialer
from runtimes import sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from runtimes.gate import Gate
from tests.client import ECHO

GUARD_S = 30
MIB = 1 << 20
LONG = "fake:?load_ms=600000"


class Brain(Node):
    """The node as it is; ``flows`` has every flow it began, as long as anybody else has it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.flows: weakref.WeakSet[Generator[Any, Any, Any]] = weakref.WeakSet()

    def serve(self, asked: Asked) -> Any:
        flow = super().serve(asked)
        self.flows.add(flow)
        return flow


class OneMessage:
    """The server's side of a call whose client sends one message and sees nothing."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._messages = [b"x"]

    def time_remaining(self) -> float | None:
        return self._timeout_s

    async def read(self) -> Any:
        return self._messages.pop() if self._messages else aio.EOF

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    async def write(self, message: bytes) -> None:
        pass


@dataclass
class Bench:
    """One driver with all that it drives."""

    fake: Fake
    node: Brain
    plane: PythonPlane
    driver: Driver
    runtime: RuntimeClient
    commands: list[type[Command]]
    """The kinds alone: an error that a command carries knows the flows it ended."""
    stopped: asyncio.Event

    async def register(self, model: str, path: str = "fake:?") -> None:
        end = await self.driver.run(Register(model, "fake", path), PeerCall(self.plane))
        assert isinstance(end, Done), end

    async def unregister(self, model: str) -> None:
        assert isinstance(await self.driver.run(Unregister(model), PeerCall(self.plane)), Done)

    async def infer(self, model: str, timeout_s: float | None = None) -> Done | Failed:
        call = StreamCall(self.plane, ECHO, (("mm-model-id", model),), OneMessage(timeout_s), self.plane.buffer)
        try:
            return await self.plane.serve(Request(model), call)
        finally:
            call.close()

    async def state(self, model: str) -> Status:
        end = await self.driver.run(Request(model, Op.STATUS), PeerCall(self.plane))
        assert isinstance(end, Done)
        assert isinstance(end.answer, StatusInfo)
        return end.answer.status

    def now(self) -> int:
        return self.driver._now()

    async def until(self, look: Callable[[], bool]) -> None:
        async with asyncio.timeout(GUARD_S):
            while not look():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def left(self) -> dict[str, object]:
        """All that may be there only while a request or a command is under way."""
        gc.collect()
        plane = self.plane
        return {
            "waits": dict(self.driver._waiting),
            "tasks": len(self.driver._tasks),
            "flows": sum(inspect.getgeneratorstate(flow) != inspect.GEN_CLOSED for flow in self.node.flows),
            "open": plane.of_clients.open + plane.of_peers.open,
            "outstanding": dict(plane._outstanding),
            "in flight": plane.copies.in_flight,
            "retained": plane.buffer.used_bytes,
            "in the runtime": self.fake.total.in_flight,
        }


NOTHING: dict[str, object] = {
    "waits": {}, "tasks": 0, "flows": 0, "open": 0, "outstanding": {}, "in flight": 0, "retained": 0,
    "in the runtime": 0,
}  # fmt: skip


def restarted(what: object) -> None:
    raise AssertionError(f"no runtime restarts here: {what}")


@asynccontextmanager
async def bench(
    *, capacity: int = 1024 * MIB, load_timeout_ms: int = 60_000, settings: Settings | None = None, threads: int = 2
) -> AsyncIterator[Bench]:
    fake = Fake(capacity, Behaviour(), "i0")
    fake.load_timeout_ms, fake.max_loading_concurrency = load_timeout_ms, threads
    async with asyncio.timeout(GUARD_S), sdk.serving(fake, sdk.Listen(port=0), grace_s=0) as running:
        store, keys, clock = MemoryStore(MemoryHub(), Random(1)), Keys("", "mm", "test"), Clock()
        runtime = RuntimeClient((running.address,), max_message_bytes=MIB, min_churn_age_ms=0)
        info = await runtime.start()
        async with store.session(20):
            me = Me("i0", clock.now(), "127.0.0.1:1", "127.0.0.1:2")
            node = Brain(me, settings or Settings(), info.params, Rules(), Random(2))
            methods, buffer, metrics = Methods({}, True), Retained(MIB, MIB), Metrics()
            plane = PythonPlane("i0", b"key", runtime, methods, clock.now, Random(3), metrics, buffer, Dialer())
            commands: list[type[Command]] = []
            stopped = asyncio.Event()
            records = Records(store, keys, "i0")
            driver = Driver(
                node,
                clock.now,
                RenewedRuntime(runtime, metrics, [], restarted, restarted),
                records,
                plane,
                lambda: PeerCall(plane),
                lambda command: commands.append(type(command)),
                stopped.set,
                lambda: None,
            )
            plane.serve_for(driver)
            following = [
                asyncio.create_task(follow(store, prefix, event, driver.feed, asyncio.Event(), Reach(), Random(4)))
                for prefix, event in ((keys.instances, InstancesSeen), (keys.registry, RegistrySeen))
            ]
            made = Bench(fake, node, plane, driver, runtime, commands, stopped)
            await made.until(lambda: "i0" in dict(node.view.instances()))
            yield made
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            await driver.close()
            await plane.close()
        await runtime.close()
        await store.close()


def run(test: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    async def scene() -> None:
        async with bench(**options) as made:
            await test(made)

    asyncio.run(scene())


def test_clients_that_leave_while_a_model_loads_leave_nothing_behind() -> None:
    async def test(b: Bench) -> None:
        await b.register("m", LONG)
        calls = [asyncio.create_task(b.infer("m")) for _ in range(50)]
        await b.until(lambda: sum(map(len, b.driver._waiting.values())) == 50)
        flows = list(b.node.flows)
        for call in calls:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(end) for end in ended} == {asyncio.CancelledError}
        assert {inspect.getgeneratorstate(flow) for flow in flows} == {inspect.GEN_CLOSED}
        flows.clear()
        calls.clear()
        ended.clear()
        await b.until(lambda: b.left() == {**NOTHING, "tasks": 1})  # the load alone goes on
        assert await b.state("m") is Status.LOADING
        await b.unregister("m")
        await b.until(lambda: b.left() == NOTHING)

    run(test)


def test_a_client_that_leaves_takes_nobody_with_it() -> None:
    async def test(b: Bench) -> None:
        await b.register("m", "fake:?load_ms=100")
        calls = [asyncio.create_task(b.infer("m")) for _ in range(10)]
        await b.until(lambda: sum(map(len, b.driver._waiting.values())) == 10)
        for call in calls[::2]:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ended] == [asyncio.CancelledError, Done] * 5
        assert b.fake.counts["m"].loads == 1

    run(test)


def test_a_request_waits_for_a_load_so_long_and_no_longer() -> None:
    async def test(b: Bench) -> None:
        for number in range(4):
            await b.register(f"m{number}")
        assert isinstance(await b.infer("m0"), Done)
        load, gate = b.runtime.load, Gate()
        gate.shut()

        async def held(command: Load) -> Any:
            await gate.passed()
            return await load(command)

        b.runtime.load = held  # type: ignore[method-assign]
        ends = await asyncio.gather(*(b.infer(f"m{number}") for number in range(1, 4)))
        assert [(end.error.code, end.error.text) for end in ends if isinstance(end, Failed)] == [
            (Code.DEADLINE_EXCEEDED, "model not loaded within 2000 ms")
        ] * 3
        gate.open()
        await b.until(lambda: b.fake.total.loads == 4)
        await b.until(lambda: b.left() == NOTHING)

    run(test, load_timeout_ms=2000, threads=1, settings=Settings(wait_load_factor=1))


def test_requests_that_fail_or_leave_keep_no_memory() -> None:
    async def test(b: Bench) -> None:
        await b.register("slow", "fake:?infer_ms=600000")
        await b.register("bad", "fake:?infer_fail=ABORTED")
        await b.register("broken", "fake:?fail=DATA_LOSS")
        await b.register("gone", "fake:?infer_fail=NOT_FOUND")
        for number in range(40):
            slow = asyncio.create_task(b.infer("slow"))
            await b.until(lambda: b.fake.total.in_flight == 1)
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)
            await b.until(lambda: b.fake.total.in_flight == 0)
            assert isinstance(await b.infer("bad"), Done)
            assert isinstance(await b.infer("broken"), Failed)
            assert isinstance(await b.infer(f"unknown-{number}"), Failed)
        assert isinstance(await b.infer("gone"), Failed)
        del slow
        await b.until(lambda: b.left() == NOTHING and not b.node.flows)
        assert not [model for model in b.plane._routes if model.startswith("unknown")]
        assert not b.driver._registry._asked  # type: ignore[attr-defined]

    run(test)


def test_the_end_of_a_driver_ends_all_that_is_under_way() -> None:
    async def test(b: Bench) -> None:
        await b.register("m", LONG)
        call = asyncio.create_task(b.infer("m"))
        await b.until(lambda: bool(b.driver._waiting) and len(b.runtime._loads) == 1)
        await b.driver.close()
        assert not b.runtime._loads
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await b.until(lambda: b.left() == NOTHING)

    run(test)


def test_every_command_is_shown_and_every_one_that_asks_is_answered_once() -> None:
    async def test(b: Bench) -> None:
        await b.register("m")
        assert isinstance(await b.infer("m"), Done)
        assert [kind for kind in b.commands if kind in (Load, Predict)] == [Predict, Load]
        b.driver.feed(DrainAsked())
        b.driver.feed(Idled())
        async with asyncio.timeout(GUARD_S):
            await b.stopped.wait()
        assert b.commands.count(Stop) == 1

    run(test)


def test_a_defect_in_one_command_is_told_and_stops_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def test(b: Bench) -> None:
        async def broken(command: Predict) -> Any:
            raise RuntimeError("a defect")

        await b.register("m")
        await b.register("n")
        predict, b.runtime.predict = b.runtime.predict, broken  # type: ignore[method-assign]
        stuck = asyncio.create_task(b.infer("m"))
        await b.until(lambda: "a defect" in caplog.text)
        b.runtime.predict = predict  # type: ignore[method-assign]
        assert isinstance(await b.infer("n"), Done)
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)

    with caplog.at_level(logging.ERROR, "meshd.driver"):
        run(test)
    assert "a command has no answer" in caplog.text


def test_a_decision_knows_what_the_plane_served_before_it() -> None:
    """The core hears of no request to a loaded model; who goes for room is known all the same."""

    async def test(b: Bench) -> None:
        for name in ("a", "b", "c"):
            await b.register(name, "fake:?size=30MiB")
        await b.infer("a")
        await b.infer("b")
        used = b.node.cache.last_used("b")
        await b.until(lambda: b.now() > used)
        flows = b.plane.metrics.counters.flows
        await b.infer("a")
        assert b.plane.metrics.counters.flows == flows
        await b.infer("c")
        await b.until(lambda: sorted(b.fake.models) == ["a", "c"])

    run(test, capacity=80 * MIB)


def test_a_call_that_is_no_inference_never_reaches_the_runtime() -> None:
    async def test(b: Bench) -> None:
        await b.register("m")
        await b.infer("m")
        outcome: Outcome | None = None
        with pytest.raises(Exception, match="no inference in this request"):
            outcome = await PeerCall(b.plane).infer(Infer("m", 1))
        assert outcome is None

    run(test)
