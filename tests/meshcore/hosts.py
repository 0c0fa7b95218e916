"""The instances of a toy cluster and what each of them waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcore.asks import Done, Failed, Outcome, Step
from meshcore.commands import (
    Command,
    Commit,
    Greet,
    Load,
    Measure,
    Predict,
    Probe,
    Publish,
    Route,
    Targets,
    Unload,
    Withdraw,
)
from meshcore.node import Node
from meshcore.routing import Flow


@dataclass(eq=False)
class Host:
    """One instance from its start to its end: the node, its runtime, its table, its place in the watches."""

    id: str
    node: Node
    lease: int
    runtime: dict[str, int] = field(default_factory=dict)
    """What the runtime holds memory for, half loaded and half unloaded ones included, and the gen it was asked with."""
    answering: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What the runtime has loaded: gen and path."""
    table: dict[str, Route] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    waiting: dict[tuple[str, int], list[Running]] = field(default_factory=dict)
    following: dict[str, list[Running]] = field(default_factory=dict)
    """Who waits for another record of a virtual model."""
    targets: dict[str, Targets] = field(default_factory=dict)
    """What the plane knows of virtual models."""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """Commands that are not answered: their kind, what they are about, their number."""
    watched: dict[str, int] = field(default_factory=dict)
    failed_unloads: dict[str, int] = field(default_factory=dict)
    lives: int = 0
    """How often the runtime was emptied, by its end or by a handshake."""
    has_restarted: bool = False
    """The runtime is another one, and the handshake with it is not over: it has nothing of what the node knows."""
    former: list[tuple[str, str, int]] = field(default_factory=list)
    """What is not answered and was asked before the last handshake began."""
    is_alive: bool = True
    stops: int = 0
    departs: int = 0
    ahead_ms: int = 0
    """How far its clock is ahead of the others'."""

    def let_go(self, running: Running) -> bool:
        """Nobody keeps a flow for when something has happened; whether somebody did."""
        for waiting in (*self.waiting.values(), *self.following.values()):
            if running in waiting:
                waiting.remove(running)
                return True
        return False

    def begin(self, command: Command) -> None:
        """Something is asked that will be answered; nothing is asked that cannot be."""
        about = about_of(command)
        assert about not in self.asked, f"{about} is asked for already"
        self.asked.append(about)
        match command:
            case Load(model, gen):
                assert model not in self.runtime, "the runtime has, or still unloads, a former copy"
                self.runtime[model] = gen
                loading = [each for each in self.asked if each[0] == "Load" and each not in self.former]
                threads = self.node.cache.params.load_threads
                assert len(loading) <= threads + len(self.node.copies.unloads) or self.has_restarted
            case Unload(model, gen) | Withdraw(model, gen) | Measure(model, gen):
                assert self.has_restarted or self.runtime[model] == gen, "what the runtime has"
            case Greet():
                self.former = list(self.asked)
                self.has_restarted = True

    def end(self, command: Command) -> None:
        """It is answered."""
        self.asked.remove(about_of(command))

    def empty(self) -> None:
        """Its runtime is another one, or drops all it has."""
        self.runtime.clear()
        self.answering.clear()
        self.failed_unloads.clear()
        self.lives += 1


@dataclass(eq=False)
class Running:
    """A flow, on its host, for whoever forwarded it."""

    host: Host
    flow: Flow
    sender: Running | None = None
    end: Done | Failed | None = None
    steps: int = 0
    is_over: bool = False


@dataclass(eq=False)
class Pending:
    """Something that is not answered yet; ``done`` is what a store already did about it."""

    host: Host
    what: Command | Step | Outcome
    flow: Running | None = None
    done: object = None
    life: int = 0
    """Of the runtime, when it was asked."""


def about_of(command: Command) -> tuple[str, str, int]:
    """The kind of a command, what it is about, its number."""
    match command:
        case Commit(ticket):
            return "Commit", "", ticket
        case Publish(seq):
            return "Publish", "", seq
        case Probe(question):
            return "Probe", "", question
        case Greet():
            return "Greet", "", 0
        case Predict(model, gen) | Load(model, gen) | Measure(model, gen) | Withdraw(model, gen) | Unload(model, gen):
            return type(command).__name__, model, gen
        case _:
            raise AssertionError(f"{command} has no answer")
