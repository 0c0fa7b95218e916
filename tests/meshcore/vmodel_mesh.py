"""A few instances with models and virtual models, where all that is asked is answered at once."""

from __future__ import annotations

from meshcore.asks import (
    Asked,
    Done,
    Failed,
    Op,
    Register,
    Request,
    VModelInfo,
)
from meshcore.commands import Load
from meshcore.errors import MeshError
from meshcore.settings import Settings
from meshcore.vmodel_asks import SetVModel
from meshcore.vmodel_record import VModelRecord
from tests.meshcore import stored
from tests.meshcore.hosts import Host, Running
from tests.meshcore.making import MakeNode
from tests.meshcore.prompt import Prompt

SETTINGS = Settings(slice_models=1, fill_period_ms=0)


MODELS_HERE = ("old", "new", "third")


class Mesh(Prompt):
    """Instances with models that are registered, and none of them loaded."""

    def __init__(self, count: int, settings: Settings = SETTINGS, make: MakeNode | None = None) -> None:
        super().__init__(dict.fromkeys(MODELS_HERE, 5), settings, make)
        self.bad: set[str] = set()
        """Models that cannot be loaded."""
        for name in "abcd"[:count]:
            self.start(name)
        for model in MODELS_HERE:
            self.done(Register(model, "t", "p"))

    def is_bad(self, load: Load, instance: str) -> bool:
        return load.model in self.bad

    def done(self, asked: Asked, host: int = 0) -> object:
        """What comes of it, at once."""
        running = self.ask(self.live[host], asked)
        self.go_on(0)
        assert isinstance(running.end, Done), running.end
        return running.end.answer

    def error(self, asked: Asked, host: int = 0) -> MeshError:
        running = self.ask(self.live[host], asked)
        self.go_on(0)
        assert isinstance(running.end, Failed), running.end
        return running.end.error

    def set(self, vmodel: str, model: str, host: int = 0, **more: object) -> VModelInfo:
        info = self.done(SetVModel(vmodel, {model: 100}, **more), host)  # type: ignore[arg-type]
        assert isinstance(info, VModelInfo)
        return info

    def load(self, model: str, copies: int = 1) -> None:
        self.done(Request(model, Op.ENSURE, copies=copies))
        assert len(stored.records(self.kv)[model].copies) == copies

    def vmodel(self, name: str) -> VModelRecord:
        return stored.vmodels(self.kv)[name]

    def request(self, host: Host, vmodel: str) -> Running:
        """As the plane does it."""
        targets = host.targets.get(vmodel)
        return self.ask(host, Request(targets.active if targets is not None else "", vmodel=vmodel))


def references(mesh: Mesh) -> dict[str, int]:
    return {model: record.references for model, record in stored.records(mesh.kv).items() if record.references}


def but_loads(mesh: Mesh, steps: int = 300) -> None:
    """Answer everything and tell all news, but end no load."""
    for _ in range(steps):
        todo = [each for each in mesh.pending if not isinstance(each.what, Load)]
        if todo:
            mesh.deliver(todo[0])
        else:
            sum(mesh.watch(host, prefix) for host in mesh.live for prefix in stored.WATCHED)
            mesh.advance(100)
