"""The trace of an instance: what clients asked for in the order in which they did, or a line that says why no more."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshcore.trace import BadTrace, End, Event, Model, is_sampled, read
from meshd import trace
from meshd.linefile import LineFile
from meshd.trace import Tracer
from tests.meshd.mesh import MIB, mesh
from tests.processes import until

MIB_RECORD = Model("a", "t", MIB)


class Recording:
    """A tracer, the second that its clock shows and what its file says at the end."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.now_s = path, 100.0
        limits: dict[str, Any] = {
            "sample": 1.0,
            "most_bytes": 1 << 30,
            "describe": lambda model: Model(model, "t", MIB),
        }
        self.tracer = Tracer(path, "i0", 5000, **(limits | options), now=lambda: self.now_s)

    def arrive(self, model: str, at_ms: float) -> trace.Arrival | None:
        self.now_s = 100 + at_ms / 1000
        return self.tracer.arrived(model)

    def ask(self, model: str, at_ms: float, outcome: str = "hit", ms: float = 2.0) -> None:
        arrival = self.arrive(model, at_ms)
        if arrival is not None:
            self.tracer.ended(arrival, model, outcome, ms, 0.0, 1.5)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def events(self) -> list[dict[str, Any]]:
        return [line for line in self.lines() if "m" in line]


@contextmanager
def recording(path: Path, **options: Any) -> Iterator[Recording]:
    made = Recording(path, **options)
    made.tracer.start()
    yield made
    asyncio.run(made.tracer.close())


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, logger="meshd.trace")
    return lambda: [record.getMessage() for record in caplog.records]


def whole(path: Path) -> list[Any]:
    return list(read(path.read_bytes().splitlines(keepends=True)))


def test_requests_stand_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    with recording(tmp_path / "in" / "t.jsonl") as made:
        slow = made.arrive("a", 1)
        made.ask("b", 2, "cold", ms=9.0)
        made.now_s += 0.5
        made.tracer.loaded("b", 30.12345, 0)
        made.tracer.loaded("b", None, 7)
        assert slow is not None
        made.tracer.ended(slow, "a", "INTERNAL", 500.12345, 12.0, None)
        made.now_s = 101.0
    assert made.lines() == [
        {"trace": 1, "unit": "ms", "start_ms": 5000, "by": "meshd i0", "sample": 1.0},
        {"model": "a", "type": "t", "size_bytes": MIB},
        {"t": 1.0, "m": "a", "at": "i0", "o": "INTERNAL", "ms": 500.123, "w": 12.0},
        {"model": "b", "type": "t", "size_bytes": MIB},
        {"t": 2.0, "m": "b", "at": "i0", "o": "cold", "ms": 9.0, "s": 1.5},
        {"t": 502.0, "k": "load", "m": "b", "at": "i0", "ms": 30.123},
        {"t": 502.0, "k": "load", "m": "b", "at": "i0", "size": 7},
        {"end": 4, "t": 1000.0},
    ]
    assert made.path.stat().st_mode & 0o077 == 0
    whole(made.path)


def test_a_request_that_does_not_end_holds_up_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "HELD_MOST", 3)
    with recording(tmp_path / "t.jsonl") as made:
        slow = made.arrive("slow", 0)
        for number in range(1, 6):
            made.ask("a", number)
            assert len(made.tracer._held) <= 3
        assert slow is not None
        made.tracer.ended(slow, "slow", "hit", 99.0, 0.0, None)
        made.arrive("open", 6)
        for number in range(7, 12):
            made.arrive("open", number)
        assert len(made.tracer._held) <= 3
    assert [(event["m"], event.get("o")) for event in made.events()] == [
        ("slow", None),
        *[("a", "hit")] * 5,
        *[("open", None)] * 6,
    ]
    whole(made.path)


def test_a_sample_has_all_requests_for_some_models(tmp_path: Path) -> None:
    models = [f"m{number}" for number in range(40)]
    with recording(tmp_path / "t.jsonl", sample=0.25) as made:
        for at_ms, model in enumerate(models * 2):
            made.ask(model, at_ms)
            made.tracer.loaded(model, 1.0, 0)
    kept = [model for model in models * 2 if is_sampled(model, 0.25)]
    assert [event["m"] for event in made.events() if "k" not in event] == kept
    assert {event["m"] for event in made.events()} == set(kept)
    assert 0 < len(kept) < 40
    assert made.lines()[0]["sample"] == 0.25


def test_a_virtual_models_request_is_of_the_model_that_answered(tmp_path: Path) -> None:
    with recording(tmp_path / "t.jsonl") as made:
        for at_ms, model in enumerate(["a", ""]):
            arrival = made.arrive("", at_ms)
            assert arrival is not None
            made.tracer.ended(arrival, model, "hit", 1.0, 0.0, None)
    assert [event["m"] for event in made.events()] == ["a"]


def test_what_is_no_model_is_left_out(tmp_path: Path) -> None:
    with recording(tmp_path / "t.jsonl", describe=lambda model: MIB_RECORD if model == "a" else None) as made:
        made.ask("none", 1, "NOT_FOUND")
        made.ask("x" * 5000, 2)
        made.ask("a", 3, "NOT_FOUND")
        made.ask("new", 4)
    assert [event["m"] for event in made.events()] == ["a", "new"]
    whole(made.path)


def test_the_file_that_was_there_is_put_aside(tmp_path: Path) -> None:
    for number in range(2):
        with recording(tmp_path / "t.jsonl") as made:
            made.ask(f"m{number}", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.1.jsonl", "t.jsonl"]
    assert made.events()[0]["m"] == "m1"


def ends_early(path: Path) -> tuple[list[Event], End]:
    """What is there of a trace that is not whole, which readers refuse."""
    with pytest.raises(BadTrace, match=r"ends early|is cut"):
        whole(path)
    *lines, end = read(path.read_bytes().splitlines(keepends=True), is_part_enough=True)
    assert isinstance(end, End)
    return [line for line in lines if isinstance(line, Event)], end


def test_a_trace_that_does_not_keep_up_ends_with_a_line_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(trace, "QUEUED_MOST", 6)
    made = Recording(tmp_path / "t.jsonl")  # its thread has not begun: nothing is taken out of the queue
    for at_ms in range(20):
        made.ask("a", at_ms)
    assert made.arrive("a", 30) is None
    assert made.tracer._queue.qsize() <= 8
    made.tracer.start()
    asyncio.run(made.tracer.close())
    events, end = ends_early(made.path)
    assert [event.t_ms for event in events] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert end == End(5, 5.0, "what happened could not be written as fast")
    assert warned() == [f"the trace {made.path} ends: what happened could not be written as fast"]


def test_a_trace_does_not_outgrow_its_bound(tmp_path: Path, warned: Callable[[], list[str]]) -> None:
    with recording(tmp_path / "t.jsonl", most_bytes=2000) as made:
        for at_ms in range(100):
            made.ask("a", at_ms)
            until(lambda: made.tracer._queue.empty() or made.tracer._is_stopped, "it is written")
        assert made.arrive("a", 200) is None
    _, end = ends_early(made.path)
    assert end.early == "the file has MM_TRACE_MAX_BYTES=2000"
    assert 2000 < made.path.stat().st_size < 2300
    assert len(warned()) == 1


def test_a_full_disk_ends_the_trace_and_not_the_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    class Full(LineFile):
        """Takes two models' lines, then none for events, then again some."""

        left = 4

        def write(self, text: str) -> None:
            Full.left -= 1
            if Full.left == 0:
                raise OSError(28, "No space left on device")
            super().write(text)

    monkeypatch.setattr(trace, "LineFile", Full)
    with recording(tmp_path / "t.jsonl") as made:
        for at_ms in range(5):
            made.ask("a", at_ms)
    events, end = ends_early(made.path)
    assert ([event.t_ms for event in events], end) == ([0.0], End(1, 0.0, "No space left on device"))
    assert warned() == [f"the trace {made.path} ends: No space left on device"]


def test_a_disk_that_stays_full_leaves_a_file_that_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    class Full(LineFile):
        """Takes three lines, and none after that."""

        left = 3

        def write(self, text: str) -> None:
            Full.left -= 1
            if Full.left < 0:
                raise OSError(28, "No space left on device")
            super().write(text)

    monkeypatch.setattr(trace, "LineFile", Full)
    with recording(tmp_path / "t.jsonl") as made:
        for at_ms in range(5):
            made.ask("a", at_ms)
        until(lambda: made.tracer._is_stopped, "it has ended")
        assert made.arrive("a", 9) is None
    events, end = ends_early(made.path)
    assert ([event.t_ms for event in events], end.early) == ([0.0], "the file is cut")
    assert len(warned()) == 1


def test_a_trace_that_cannot_be_opened_ends_with_one_warning(tmp_path: Path, warned: Callable[[], list[str]]) -> None:
    (tmp_path / "in").write_text("the way")
    with recording(tmp_path / "in" / "t.jsonl") as made:
        made.ask("a", 1)
    assert warned() == [f"the trace {tmp_path}/in/t.jsonl ends: File exists"]


def test_instances_that_serve_record_what_clients_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "{instance}.jsonl")
    with mesh(2, capacity=10 * MIB, MM_MIN_CHURN_AGE_MS="0", MM_TRACE_PATH=path) as made:
        names = [f"m{number}" for number in range(4)]
        for name in names:
            made.client.register(name)
        for name in [*names, *names]:
            for instance in made.instances:
                assert instance.client.infer(name).body == b"hello"
        with pytest.raises(grpc.RpcError):
            made.client.infer("none")
    loads = 0
    for instance in ("i0", "i1"):
        header, *lines, end = whole(tmp_path / f"{instance}.jsonl")
        events = [line for line in lines if isinstance(line, Event)]
        requests = [event for event in events if event.kind == "request"]
        assert [event.model for event in requests] == [*names, *names]
        assert {event.instance for event in events} == {instance}
        assert {event.outcome for event in requests[4:]} == {"hit"}
        assert all(event.ms is not None and event.ms > 0 for event in requests)
        assert (header.start_ms > 1_600_000_000_000, end.early, header.sample) == (True, "", 1)
        cold = [event for event in requests if event.outcome == "cold"]
        assert len(cold) == (4 if instance == "i0" else 0)
        loads += sum(event.kind == "load" and event.ms is not None for event in events)
        assert {line.type for line in lines if isinstance(line, Model)} == {"fake"}
    assert loads == 4
