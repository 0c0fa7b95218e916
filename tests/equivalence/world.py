"""A small world in which much goes wrong at once, and what is to be seen in it, whoever plays it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from random import Random
from zlib import crc32

from meshcore.asks import Failed
from meshcore.capacity import CacheParams
from meshcore.commands import Command
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from sim.given import Arrivals, Ending, World
from sim.plane import Server

START_MS = 1_767_600_000_000
INSTANCES = tuple(f"instance-{letter}" for letter in "abcde")
MODELS = tuple(f"model-{number:02}" for number in range(60))
BROKEN = MODELS[5], MODELS[17]
"""They load nowhere."""
REQUESTS = 6000
MB = 1 << 20


def _pick(least: int, most: int, *of: object) -> int:
    """A number from ``least`` to ``most`` that depends on nothing but ``of``."""
    return least + crc32(repr(of).encode()) % (most - least + 1)


class Scripted:
    """Delays and failures as pure functions; few different ones, so that much happens in the same millisecond."""

    def load(self, instance: str, model: str, gen: int, at_ms: int) -> tuple[int, int, str]:
        takes_ms = 20 * _pick(1, 12, "load", instance, model, gen)
        if _pick(1, 40, "hangs", instance, model, gen) == 1:
            takes_ms = 60_000
        is_broken = model in BROKEN or _pick(1, 9, "fails", instance, model, gen) == 1
        return takes_ms, 0, "no such file" if is_broken else ""

    def unload_ms(self, instance: str, model: str, gen: int) -> int:
        return 10 * _pick(1, 5, "unload", instance, model, gen)

    def size_ms(self, instance: str, model: str, gen: int) -> int:
        return _pick(1, 3, "size", instance, model, gen)

    def size_bytes(self, model: str) -> int:
        return MB * _pick(20, 60, "bytes", model)

    def predicted_bytes(self, model: str) -> int:
        return self.size_bytes(model)

    def max_concurrency(self, model: str) -> int:
        return 0

    def commit_ms(self, instance: str, key: str, expect: int) -> int:
        return _pick(1, 4, "commit", instance, key, expect)

    def read_ms(self, instance: str, key: str) -> int:
        return _pick(1, 3, "read", instance, key)

    def watch_ms(self, instance: str) -> int:
        return _pick(1, 3, "watch", instance)


def make_world() -> World:
    """Five instances that together hold about half of the models."""
    scripted = Scripted()
    record = ModelRecord("simulated", last_used=START_MS - 3_600_000).encode()
    return World(
        instances=INSTANCES,
        registrations=dict.fromkeys(MODELS, record),
        start_ms=START_MS,
        seed=11,
        settings=Settings(
            min_churn_age_ms=0,
            wait_load_factor=1,
            failure_expiry_ms=3000,
            publish_gap_ms=200,
            unload_used_ms=10,
            unload_failed_ms=30,
            unload_late_ms=90,
            unload_evicted_load_ms=20,
        ),
        params=lambda _: CacheParams.from_runtime(320 * MB, 2, 700, 16 * MB, False, min_churn_age_ms=0),
        ways=scripted,
        delays=scripted,
        network_ms=lambda there, here: _pick(1, 2, "network", there, here),
        server=lambda name: Server(2, _whole_milliseconds(name)),
        patience_ms=400,
    )


def _whole_milliseconds(name: str) -> Iterator[float]:
    rng = Random(f"service {name}")
    while True:
        yield float(rng.randint(1, 5))


def make_traffic() -> list[Arrivals]:
    """Requests at whole milliseconds, often several at once, some for the same model at all instances."""
    rng = Random(5)
    weights = [(rank + 1) ** -0.8 for rank in range(len(MODELS))]
    rows: list[tuple[float, str, int]] = []
    at = 50
    while len(rows) < REQUESTS:
        if rng.random() < 0.05:
            model = rng.choice(MODELS)
            rows += [(float(at), model, entry) for entry in range(len(INSTANCES))]
        else:
            for _ in range(rng.choice((1, 1, 1, 4))):
                rows.append((float(at), rng.choices(MODELS, weights)[0], rng.randrange(len(INSTANCES))))
        at += rng.choice((0, 5, 10, 20, 40))
    return [([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])]


class Story:
    """What a run did: every command with its instant and instance, and how every request ended."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, str, Command]] = []
        self.ends: list[tuple[str, str, float, float]] = []
        self.conflicts = 0
        self.now: Callable[[], int] = lambda: 0

    def answered(self, instance: str, is_forwarded: bool, arrivals: array[float], ends: array[float]) -> None:
        what = "forwarded" if is_forwarded else "local"
        self.ends += [(what, instance, arrival, end) for arrival, end in zip(arrivals, ends, strict=True)]

    def ended(self, ending: Ending) -> None:
        how = ending.how
        what = type(how.error).__name__ if isinstance(how, Failed) else "waited" if ending.has_waited else "asked"
        what += " elsewhere" if ending.is_forwarded else ""
        self.ends.append((what, ending.instance, ending.arrival, ending.end))

    def left(self, instance: str, arrival: float) -> None:
        self.ends.append(("left", instance, arrival, float(self.now())))

    def commanded(self, instance: str, command: Command) -> None:
        self.commands.append((self.now(), instance, command))
