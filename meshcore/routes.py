"""Where every model with a copy answers: the table that the plane serves from, kept up record by record."""

from __future__ import annotations

from collections.abc import Callable

from meshcore.commands import Holder, Local, Route
from meshcore.entry import Entry, State
from meshcore.naming import Naming
from meshcore.records import ModelRecord
from meshcore.redundancy import is_redundant
from meshcore.view import ClusterView


class Routes:
    """One Route per model that some record or this instance's cache names a copy of; ``emit`` takes what changed.

    ``mark`` is told whether a model could do without its copy here.
    """

    def __init__(
        self,
        view: ClusterView,
        entry: Callable[[str], Entry | None],
        emit: Callable[[Route], None],
        mark: Callable[[str, bool], None],
    ) -> None:
        self._view, self._entry, self._emit, self._mark = view, entry, emit, mark
        self._routes: dict[str, Route] = {}
        self._copies = Naming()

    def __contains__(self, model: str) -> bool:
        return model in self._copies

    def __len__(self) -> int:
        """Models with a copy, by their records."""
        return len(self._copies)

    def naming(self, instance: str) -> list[str]:
        """The models whose record names ``instance``, alive or not."""
        return self._copies.naming(instance)

    def holders(self, model: str, record: ModelRecord | None) -> tuple[Holder, ...]:
        """Live copies by ascending instance id; the one here as the cache has it, whatever the record says of it."""
        me = self._view.me
        others = [holder for holder in self._view.holders(record) if holder.instance != me] if record else []
        entry = self._entry(model)
        if entry is not None and entry.state <= State.ACTIVE:
            others.append(Holder(me, entry.load_ts, entry.is_serving))
            others.sort(key=lambda holder: holder.instance)
        return tuple(others)

    def ready(self, model: str) -> int:
        """Live copies of ``model`` that answer."""
        route = self._routes.get(model)
        return sum(holder.is_ready for holder in route.holders) if route else 0

    def update(self, model: str, record: ModelRecord | None) -> None:
        """``model``'s record, an instance it names, or the copy here changed."""
        self._copies.update(model, tuple(record.copies) if record else ())
        entry = self._entry(model)
        is_serving = entry is not None and entry.is_serving
        local = Local(entry.gen, entry.max_concurrency, entry.max_inflight) if entry and is_serving else None
        route = Route(model, local, self.holders(model, record))
        self._mark(model, is_redundant(self._view, record, route.holders))
        known = self._routes.get(model)
        if route.holders:
            self._routes[model] = route
        else:
            self._routes.pop(model, None)
        if known != route and (known is not None or route.holders):
            self._emit(route)
