"""Where one request has been, and what it met there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from meshcore.asks import Kind, Request
from meshcore.errors import LoadFailure, MeshError
from meshcore.records import Failure, ModelRecord
from meshcore.units import NEVER


@dataclass(slots=True)
class Trip:
    """One request's way so far; it only grows, but for targets that are forgiven."""

    tried: list[tuple[str, int]] = field(default_factory=list)
    """Copies (instance, load_ts) that were asked."""
    targets: list[str] = field(default_factory=list)
    """Instances that were asked to load."""
    error: MeshError | None = None
    """What to fail with if nothing better comes."""
    declines: int = 0
    """Times that an instance left the load to others."""
    exhausted: int = 0
    """Answers RESOURCE_EXHAUSTED."""
    gone: list[str] = field(default_factory=list)
    """Instances that had the copy no more when the request came to it."""
    is_spent: bool = False
    """What was sent of the request is not kept: it cannot be tried again."""
    failures: dict[str, Failure] = field(default_factory=dict)
    """Loads that failed, which may not have reached the record as it is known here (D-05)."""

    def on(self, request: Request, kind: Kind, me: str) -> Request:
        """The request as it goes on to another instance; for a load its last target is that instance."""
        targets = tuple(self.targets[:-1]) if kind is Kind.LOAD else tuple(self.targets)
        return replace(
            request, kind=kind, tried=tuple(self.tried), targets=targets, is_balanced=False, origin=me,
            hops=request.hops + 1, met=None,
        )  # fmt: skip

    def failed(self, instance: str, error: LoadFailure, now: int) -> None:
        """The load on ``instance`` failed."""
        self.error = error
        self.failures[instance] = Failure(now, error.text)

    def merged(self, record: ModelRecord) -> ModelRecord:
        """``record`` with the failures that this request met."""
        for instance, failure in self.failures.items():
            record = record.with_failure(instance, failure.at, failure.text, NEVER)
        return record

    def forgives(self) -> bool:
        """Let targets that loaded the model and lost it be asked once more; whether there are any."""
        kept = [target for target in self.targets if target not in self.gone]
        has_forgiven = len(kept) < len(self.targets)
        self.targets, self.gone = kept, []
        return has_forgiven
