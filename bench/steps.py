"""The longest step of one instance in a large mesh, for what there is much to do of: `python -m bench.steps`.

5,000 copies here, each with another one on instance b; 100,000 models; 100 instances. No request is answered during a
step, so work has to come in slices. CPU is what the operating system charged to the process; the garbage
collector, whose work grows with all that this script keeps, stands still while it is measured.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace

from meshcore.commands import Command
from meshcore.events import Event, LeaderSeen, RegistrySeen, Seen, Ticked, Usage, Used
from meshcore.records import InstanceRecord, ModelRecord
from tests.builders import NOW, instance
from tests.meshcore.lone import Lone

COPIES, MODELS, INSTANCES, UNITS = 5_000, 100_000, 100, 10
HOUR_MS = 3_600_000


class Timed(Lone):
    """A node that is stepped by hand, and how long that takes."""

    longest_s = 0.0
    steps = 0

    def feed(self, event: Event) -> list[Command]:
        """As ever."""
        before = time.process_time()
        commands = self.node.step(event, self.now)
        self.longest_s = max(self.longest_s, time.process_time() - before)
        self.steps += 1
        self.commands += commands
        return commands

    def go_on(self, ms: int) -> None:
        """Let so much time go by."""
        until = self.now + ms
        while (wake := self.node.next_wake(self.now)) <= until:
            self.now = max(wake, self.now)
            self.feed(Ticked())
        self.now = until

    def measure(self, name: str, ms: int, begin: Callable[[], object]) -> None:
        """Print the longest step from ``begin`` on until so much time has gone by."""
        self.commands.clear()
        gc.collect()
        gc.disable()
        self.longest_s, self.steps = 0.0, 0
        begin()
        self.go_on(ms)
        gc.enable()
        print(f"{name:42} {self.longest_s * 1000:8.1f} ms in the longest of {self.steps} steps", flush=True)

    def use_all(self) -> None:
        """Every copy here is used."""
        self.feed(Used(tuple(Usage(f"m{number}", 5, self.now) for number in range(COPIES))))


def mesh(peer: InstanceRecord, min_copies: int = 0, others: bool = True) -> Timed:
    """The node in its mesh, and nothing going on; ``others``: each copy here has another one on b."""
    peers = {"a": replace(peer, address="a:8080"), "b": replace(peer, address="b:1")}
    peers |= {f"i{number:02}": replace(peer, address=f"i{number:02}:1") for number in range(INSTANCES - 2)}
    lone = Timed(peers=peers, capacity_units=COPIES * UNITS + 2 * UNITS)
    idle = (
        Seen(f"idle-{number}", ModelRecord("onnx", path="p", last_used=NOW - HOUR_MS - number).encode(), 2)
        for number in range(MODELS - COPIES)
    )
    lone.revision += 1
    lone.feed(RegistrySeen(lone.revision, tuple(idle)))
    for number in range(COPIES):
        model = f"m{number}"
        lone.load(model, UNITS, NOW - HOUR_MS)
        lone.commands.clear()
        if not others:
            continue
        record = lone.record(model)
        copies, ready = {**record.copies, "b": NOW - 5}, {**record.ready, "b": NOW - 5}
        lone.know(model, replace(record, copies=copies, ready=ready, min_copies=min_copies))
        lone.commands.clear()
    return lone


def main() -> None:
    """Measure one thing after the other."""
    full = instance(capacity_units=50_000, used_units=50_000, count=5_000, lru_ms=NOW - 100 * HOUR_MS)
    roomy = replace(full, capacity_units=100_000, used_units=10_000, count=1_000)
    going = replace(full, address="b:1", phase="draining", is_shutting_down=True)
    lone = mesh(full)
    lone.measure("a minute without anything", 60_000, lambda: None)
    lone.measure("looking for copies too many", 2 * 360_000, lambda: None)
    alone = mesh(replace(full, lru_ms=NOW - HOUR_MS), others=False)
    for _ in range(8):  # until that is use of the kind that second copies are for
        alone.use_all()
        alone.go_on(60_000)
    alone.measure("5,000 usages at once", 0, alone.use_all)
    alone.measure("all copies are used regularly", 60_000, lambda: None)
    lone.measure("another instance begins to go", 5_000, lambda: lone.meet("b", going))
    lone.measure("it is gone", 5_000, lambda: lone.lose("b"))
    lone.measure("it is back", 5_000, lambda: lone.meet("b", replace(full, address="b:1")))
    lone.measure("it started anew", 5_000, lambda: lone.meet("b", replace(full, address="b:1", start_ms=lone.now)))
    leading = mesh(roomy, min_copies=2)
    leading.measure("coming to lead, and loading in advance", 420_000, lambda: leading.feed(LeaderSeen("a")))
    leading.measure("beginning to go of what holds least copies", 5_000, lambda: leading.meet("b", going))


if __name__ == "__main__":
    main()
