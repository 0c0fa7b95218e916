"""Results about many names, as they come in any order and perhaps not to the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmctl.errors import CommandError
from mmctl.progress import Progress
from mmctl.values import Registered, Unregistered

R = TypeVar("R", Registered, Unregistered)


@dataclass(frozen=True, slots=True)
class Collected(Generic[R]):
    """What was told, in the order of the names that were asked about, and what ended it before its time."""

    results: list[R]
    error: CommandError | None = None

    def check(self) -> None:
        """Raise what ended it."""
        if self.error is not None:
            raise self.error


async def collected(results: AsyncIterator[R], names: Sequence[str], doing: str, progress: Progress) -> Collected[R]:
    """Raises CommandError only where nothing was done."""
    places = {name: at for at, name in enumerate(names)}
    found: list[R] = []
    error: CommandError | None = None
    try:
        async for result in results:
            found.append(result)
            progress.waiting(f"{doing} {len(found):,} of {len(names):,}")
    except CommandError as ended:
        if not found:
            raise
        done = f"{len(found):,} of {len(names):,} were answered, the others may be done or not"
        error = type(ended)(f"{ended}; {done}; the same command goes on from there")
    return Collected(sorted(found, key=lambda result: places[result.name]), error)
