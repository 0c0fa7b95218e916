"""The simpy driver's own duties: one answer to each command, timers, waiting and going away."""

from __future__ import annotations

from collections.abc import Generator
from itertools import repeat
from random import Random
from typing import Any

import simpy

from meshcore.asks import Answered, Done, Failed, Forward, Infer, Outcome, Request, StoreSilent, Wrote
from meshcore.capacity import CacheParams
from meshcore.commands import Command, Commit, Load, Publish, Unload, Withdraw
from meshcore.events import DrainAsked, Idled, InstancesSeen, RegistrySeen, Seen
from meshcore.me import Me
from meshcore.node import Node
from meshcore.records import ModelRecord
from meshcore.rules import Rules
from meshcore.settings import Settings
from sim.driver import Driver, Gate
from sim.lines import Shared
from sim.plane import NOWHERE, Plane, Server
from sim.runtime import ModelServer

START = 1_767_600_000_000
MB = 1 << 20
Waits = Generator[simpy.Event, Any, Any]


class Ways:
    """Loads take 100 ms, all else 1 ms, a model 10 MiB."""

    def load(self, instance: str, model: str, gen: int, at_ms: int) -> tuple[int, int, str]:
        return 100, 0, ""

    def unload_ms(self, instance: str, model: str, gen: int) -> int:
        return 1

    def size_ms(self, instance: str, model: str, gen: int) -> int:
        return 1

    def size_bytes(self, model: str) -> int:
        return 10 * MB

    def predicted_bytes(self, model: str) -> int:
        return 10 * MB

    def max_concurrency(self, model: str) -> int:
        return 0


class Registry:
    """Takes 2 ms; silent until ``back_at``."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env, self._mod, self.back_at = env, 100, 0

    def write(self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()) -> Waits:
        yield self._env.timeout(2)
        if self._env.now < self.back_at:
            return StoreSilent("no answer")
        self._mod += 1
        return Wrote(self._mod)

    def read(self, model: str) -> Waits:
        yield self._env.timeout(2)
        return Seen(model, None, 0) if self._env.now >= self.back_at else StoreSilent("no answer")

    def publish(self, value: bytes) -> Waits:
        yield self._env.timeout(2)
        return "" if self._env.now >= self.back_at else "no answer"


class Call:
    """Works for 5 ms on the copy here."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env, self.waited_at = env, -1

    def waits(self) -> None:
        self.waited_at = int(self._env.now)

    def infer(self, step: Infer) -> Generator[simpy.Event, Any, Outcome]:
        yield self._env.timeout(5)
        return Answered(step.gen)

    def forward(self, step: Forward) -> Generator[simpy.Event, Any, Outcome]:
        raise AssertionError("there is nobody else")
        yield


class Bench:
    """One instance that is alone and knows one model."""

    def __init__(self, settings: Settings | None = None, load_timeout_ms: int = 1000) -> None:
        self.env = simpy.Environment()
        params = CacheParams.from_runtime(100 * MB, 1, load_timeout_ms, 10 * MB, False, 0)
        node = Node(Me("a", START, "a:1", "a:2"), settings or Settings(), params, Rules(), Random(1))
        self.plane = Plane(
            "a", START, lambda: int(self.env.now), node.rules.balance, Random(2), Server(1, repeat(50.0)),
            Shared(("a",), NOWHERE),
        )  # fmt: skip
        self.registry = Registry(self.env)
        self.commands: list[tuple[int, Command]] = []
        self.stopped_at: list[int] = []
        self.driver = Driver(
            node, self.env, START, ModelServer(self.env, "a", Ways()), self.registry, self.plane,
            own_call=lambda: Call(self.env),
            observe=lambda command: self.commands.append((int(self.env.now), command)),
            on_stop=lambda: self.stopped_at.append(int(self.env.now)),
            on_depart=lambda: None,
        )  # fmt: skip
        record = ModelRecord("t", last_used=START - 1000).encode()
        self.driver.feed(RegistrySeen(1, (Seen("m", record, 1),), is_whole=True))
        self.driver.feed(InstancesSeen(1, (), is_whole=True))
        self.ends: list[tuple[int, Done | Failed]] = []

    def ask(self, model: str = "m") -> simpy.Process:
        return self.env.process(self._asked(model))

    def _asked(self, model: str) -> Waits:
        try:
            end = yield from self.driver.run(Request(model), Call(self.env))
        except simpy.Interrupt:
            return
        self.ends.append((int(self.env.now), end))

    def at(self, kind: type[Command]) -> list[int]:
        return [at for at, command in self.commands if isinstance(command, kind)]


def test_a_gate_opens_before_every_other_timer_of_the_instant() -> None:
    env = simpy.Environment()
    gate, seen = Gate(env), []

    def waiting() -> Waits:
        seen.append((yield gate))

    env.process(waiting())
    env.timeout(5).callbacks.append(lambda _: gate.open("gate"))
    env.timeout(5).callbacks.append(lambda _: seen.append("timer"))
    env.timeout(5).callbacks.append(lambda _: gate.open("too late"))
    env.run()
    assert seen == ["gate", "timer"]


def test_a_request_waits_for_its_load_and_is_answered_by_the_copy() -> None:
    bench = Bench()
    bench.ask()
    bench.env.run(until=1000)
    ((at, end),) = bench.ends
    assert isinstance(end, Done)
    assert bench.at(Load) == [1 + 2]  # the size is predicted, the copy registered
    assert at == 3 + 100 + 5


def test_requests_for_one_model_share_a_load_and_go_on_in_the_order_they_came() -> None:
    bench = Bench()
    for _ in range(5):
        bench.ask()
    bench.env.run(until=1000)
    assert [at for at, _ in bench.ends] == [108] * 5
    assert len(bench.at(Load)) == 1


def test_a_write_that_the_store_does_not_take_is_tried_again_when_the_core_wants_to_be_woken() -> None:
    bench = Bench(Settings(store_retry_ms=400))
    bench.registry.back_at = 300
    bench.ask()
    bench.env.run(until=1000)
    assert bench.at(Publish)[:2] == [0, 2 + 400]
    assert bench.at(Commit) == [1, 3 + 400], "the load goes on, and is written together with its end"
    ((_, end),) = bench.ends
    assert isinstance(end, Done)


def test_a_read_of_a_silent_store_fails_the_request() -> None:
    bench = Bench()
    bench.registry.back_at = 300
    bench.ask("unknown")
    bench.env.run(until=1000)
    ((at, end),) = bench.ends
    assert isinstance(end, Failed)
    assert (at, end.error.text) == (2, "no answer")


def test_a_client_that_goes_away_leaves_the_load_running() -> None:
    bench = Bench()
    process = bench.ask()
    bench.env.run(until=50)
    process.interrupt()
    bench.env.run(until=1000)
    assert bench.ends == []
    assert "m" in bench.plane.copies


def test_a_wait_for_a_load_ends_at_its_deadline() -> None:
    """Waits are one loading timeout long here; the load itself, which takes as long, is answered later."""
    bench = Bench(Settings(wait_load_factor=1), load_timeout_ms=100)
    bench.ask()
    bench.env.run(until=1000)
    ((at, end),) = bench.ends
    assert isinstance(end, Failed)
    assert at == 100


def test_a_busy_copy_is_unloaded_when_its_last_request_ends_or_its_time_is_over() -> None:
    for drain_ms, ends_at in ((10_000, 100), (30, 30)):
        bench = Bench(Settings(drain_copy_ms=drain_ms, unload_used_ms=0))
        bench.ask()
        bench.env.run(until=1000)
        for _ in range(2):  # 50 ms each, one at a time
            bench.plane.begin(1000.0, bench.plane.copies["m"])
        bench.driver.feed(RegistrySeen(500, (Seen("m", None, 500),)))
        bench.env.run(until=2000)
        assert bench.at(Withdraw) == [1000]
        assert bench.at(Unload) == [1000 + ends_at]


def test_an_instance_that_has_left_says_so_once() -> None:
    bench = Bench()
    bench.driver.feed(DrainAsked())
    bench.env.run(until=100)
    bench.driver.feed(Idled())
    bench.env.run(until=1000)
    assert len(bench.stopped_at) == 1
