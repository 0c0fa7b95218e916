"""Where a model is loaded while no record can tell of it: by everybody's count the same instance, and then the next."""

from __future__ import annotations

from hashlib import blake2b

from meshcore.placement import Want
from meshcore.reasons import Candidate, Reason, Rejected, Rule, trimmed
from meshcore.view import ClusterView

SURROGATES = "surrogatepass"
CAUSE = "first in the order that all share while records may not tell of all copies"
KEPT = 4096
"""Models whose place is remembered: each request for one that was loaded so looks for it."""


def weight(model: str, instance: str) -> int:
    """How much ``instance`` is the one for ``model``: any number, the same in every process."""
    named = f"{len(model)} {model} {instance}".encode(errors=SURROGATES)
    return int.from_bytes(blake2b(named, digest_size=8).digest())


def first(view: ClusterView, want: Want, now: int) -> tuple[str | None, Reason]:
    """The instance (this one included) that shall load ``want`` while the store is away, and why; None: nobody can.

    It takes loads, has the labels that the type requires, is not excluded, large enough and, unless no other is left,
    not ejected; of such it has the highest weight. Whoever asks it again finds the copy there.
    """
    fit: list[tuple[int, str]] = []
    unreachable: list[tuple[int, str]] = []
    rejected: list[Candidate] = []
    for instance, record in view.instances():
        if not view.may_load(instance, want.type):
            continue
        place = weight(want.model, instance), instance
        why = want.exclude.get(instance)
        if why is None and record.capacity_units < max(1, want.size_units):
            why = Rejected.TOO_SMALL
        if why is not None:
            rejected.append(Candidate(instance, (place[0],), why))
        elif instance == view.me or view.health.is_ok(instance, now):
            fit.append(place)
        else:
            unreachable.append(place)
    if fit:
        rejected += [Candidate(instance, (number,), Rejected.UNREACHABLE) for number, instance in unreachable]
    order = sorted(fit or unreachable, reverse=True)
    chosen = order[0][1] if order else None
    listed = [
        Candidate(instance, (number,), Rejected.RENDEZVOUS if instance != chosen else None)
        for number, instance in order
    ]
    candidates, more = trimmed([*listed, *rejected])
    cause = CAUSE if order else "no instance can load it"
    inputs: dict[str, int | str] = {"type": want.type, "size_units": want.size_units, "fit": len(order)}
    return chosen, Reason(Rule.PLACE, want.model, chosen or "", cause, view.revision, inputs, candidates, more)


class Rendezvous:
    """Looks at all instances once for each model, for as long as nothing that is known of any of them changes."""

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._places: dict[str, str] = {}

    def place(self, want: Want, now: int) -> tuple[str | None, Reason]:
        """As ``first``."""
        view, kept = self._view, self._places.get(want.model, "")
        is_ok = kept == view.me or view.health.is_ok(kept, now)
        if kept and is_ok and kept not in want.exclude and view.may_load(kept, want.type):
            return kept, Reason(
                Rule.PLACE, want.model, kept, f"{CAUSE}, as before", view.revision, candidates=(Candidate(kept),)
            )
        chosen, why = first(view, want, now)
        if chosen is not None and not want.exclude:
            if len(self._places) >= KEPT:
                self._places.clear()
            self._places[want.model] = chosen
        return chosen, why

    def forget(self) -> None:
        """Somebody came, went, or can or cannot be reached."""
        self._places.clear()
