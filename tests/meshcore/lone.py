"""One node, stepped by hand: the test plays its runtime, its store, its peers and its clients."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from meshcore.asks import Asked, Done, Failed, Kind, Op, Outcome, Request, Step
from meshcore.commands import Command, Commit, Load, Predict
from meshcore.errors import MeshError
from meshcore.events import (
    Committed,
    Conflicted,
    Event,
    InstancesSeen,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    RegistrySeen,
    Seen,
    Started,
    Ticked,
)
from meshcore.me import Me
from meshcore.node import Node
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshcore.units import UNIT_BYTES
from tests.builders import NOW, instance, params

_Command = TypeVar("_Command", bound=Command)

START = NOW - 3_600_000


class Asking:
    """A flow and the step it waits in, its end included."""

    def __init__(self, lone: Lone, asked: Asked) -> None:
        self._lone = lone
        self.flow = lone.node.serve(asked)
        self.step: Step | Done | Failed
        self._resume(None)

    def answer(self, outcome: Outcome) -> Step | Done | Failed:
        """The outcome of its step; the next one."""
        return self._resume(outcome)

    def _resume(self, outcome: Outcome | None) -> Step | Done | Failed:
        self.step, commands = self._lone.node.resume(self.flow, outcome, self._lone.now)
        self._lone.commands += commands
        return self.step

    @property
    def error(self) -> MeshError:
        assert isinstance(self.step, Failed)
        return self.step.error


class Lone:
    """Instance a at NOW, an hour after its start, with ``peers`` as it knows them; its first publish stands."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        peers: dict[str, InstanceRecord] | None = None,
        me: dict[str, Any] | None = None,
        seed: int = 0,
        rules: Rules | None = None,
        has_started: bool = True,
        **limits: int,
    ) -> None:
        self.now = NOW
        self.revision = 1
        self.commands: list[Command] = []
        identity = Me(**({"instance": "a", "start_ms": START, "address": "a:8080", "grpc": "a:8033"} | (me or {})))
        limits = {"min_churn_age_ms": 0} | limits
        self.node = Node(identity, settings or Settings(), params(**limits), rules or Rules(), Random(seed))
        self.feed(RegistrySeen(1, (), True))
        self.feed(Published(1))
        seen = tuple(Seen(name, record.encode(), 1) for name, record in (peers or {}).items())
        self.feed(InstancesSeen(1, seen, True))
        if has_started:
            self.feed(Started())
        self.feed(Ticked())  # what was due since the start
        self.commands.clear()

    def feed(self, event: Event) -> list[Command]:
        """Something happened; what is to be done, which is also in ``commands``."""
        commands = self.node.step(event, self.now)
        self.commands += commands
        return commands

    def tick(self, ms: int) -> list[Command]:
        """So much later, whatever was due."""
        self.now += ms
        return self.feed(Ticked())

    def ask(self, asked: Asked) -> Asking:
        return Asking(self, asked)

    def know(self, model: str, record: ModelRecord | None) -> list[Command]:
        """The watch tells of a model's record as the store now has it."""
        self.revision += 1
        value = record.encode() if record is not None else None
        return self.feed(RegistrySeen(self.revision, (Seen(model, value, self.revision),)))

    def meet(self, name: str, record: InstanceRecord | None = None) -> list[Command]:
        """The watch tells of an instance, by default one like any other."""
        self.revision += 1
        value = (record or instance(address=f"{name}:8080")).encode()
        return self.feed(InstancesSeen(self.revision, (Seen(name, value, self.revision),)))

    def lose(self, name: str) -> list[Command]:
        """The watch tells that an instance is gone."""
        self.revision += 1
        return self.feed(InstancesSeen(self.revision, (Seen(name, None, self.revision),)))

    def record(self, model: str) -> ModelRecord:
        """A model's record as the node knows it."""
        record = self.node.view.record(model)
        assert record is not None
        return record

    # -- what was asked of the world ------------------------------------------------------------------

    def all(self, kind: type[_Command]) -> list[_Command]:
        return [command for command in self.commands if isinstance(command, kind)]

    def last(self, kind: type[_Command]) -> _Command:
        return self.all(kind)[-1]

    def written(self) -> ModelRecord:
        """What the last commit would have the record be."""
        value = self.last(Commit).value
        assert value is not None
        return ModelRecord.decode(value)

    # -- what the world answers -------------------------------------------------------------------------

    def commit(self) -> list[Command]:
        """The store takes all commits that it was sent, and those that follow."""
        done: list[Command] = []
        while commits := self.all(Commit):
            self.commands = [command for command in self.commands if not isinstance(command, Commit)]
            for commit in commits:
                self.revision += 1
                done += self.feed(Committed(commit.ticket, self.revision))
        return done

    def conflict(self, commit: Commit) -> list[Command]:
        """The store has the model's record as it is known here, written by somebody else."""
        self.commands = [command for command in self.commands if command is not commit]
        view = self.node.view
        return self.feed(Conflicted(commit.ticket, view.value(commit.model), view.mod(commit.model)))

    def predict(self, model: str, units: int) -> list[Command]:
        gen = self.node.cache.entries[model].gen
        return self.feed(Predicted(model, gen, units * UNIT_BYTES))

    def loaded(self, model: str, units: int = 0) -> list[Command]:
        return self.feed(Loaded(model, self.node.cache.entries[model].gen, units * UNIT_BYTES))

    def load_fails(self, model: str, text: str = "bad") -> list[Command]:
        return self.feed(LoadFailed(model, self.node.cache.entries[model].gen, text))

    def begin_load(
        self, model: str, units: int = 10, last_used: int = 0, is_asked_for: bool = True, **fields: Any
    ) -> int:
        """A copy here on its way to be loaded, as far as it comes by itself; its gen."""
        if self.node.view.record(model) is None:
            self.know(model, ModelRecord("onnx", **fields))
        declined = ("elsewhere",) * self.node.settings.max_declines  # so often that it has to be here
        request = Request(model, Op.ENSURE, Kind.LOAD, is_sync=False, last_used=last_used, targets=declined)
        self.ask(replace(request, is_asked_for=is_asked_for))
        gen = self.node.cache.entries[model].gen
        if any(asked.gen == gen for asked in self.all(Predict)):
            self.predict(model, units)
        self.commit()
        return gen

    def load(self, model: str, units: int = 10, last_used: int = 0, **fields: Any) -> int:
        """A copy here that answers and takes ``units``; its gen."""
        gen = self.begin_load(model, units, last_used, **fields)
        assert self.last(Load).gen == gen
        self.loaded(model)
        self.feed(Measured(model, gen, units * UNIT_BYTES))
        self.commit()
        self.commands.clear()
        return gen
