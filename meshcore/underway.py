"""Loads under way on every instance, as the registry tells of them: sooner than the instances' own records do."""

from __future__ import annotations

from collections.abc import Mapping

from meshcore.records import ModelRecord

_NONE: Mapping[str, None] = {}


class Underway:
    """Copies that records name and that are not ready.

    A load is named in its model's record before it begins, and the watch carries that to all within milliseconds; the
    record of the instance that loads comes seconds later.
    """

    def __init__(self) -> None:
        self._models: dict[str, dict[str, None]] = {}
        """By instance."""
        self._instances: dict[str, tuple[str, ...]] = {}
        """By model."""

    def see(self, model: str, record: ModelRecord | None) -> list[str]:
        """A model's record is another one (None: gone); the instances for which that changes anything."""
        before = self._instances.get(model, ())
        after = () if record is None else tuple(sorted(i for i in record.copies if not record.is_ready(i)))
        if before == after:
            return []
        for instance in before:
            if instance not in after:
                models = self._models[instance]
                del models[model]
                if not models:
                    del self._models[instance]
        for instance in after:
            self._models.setdefault(instance, {})[model] = None
        if after:
            self._instances[model] = after
        else:
            del self._instances[model]
        return [instance for instance in (*before, *after) if (instance in before) != (instance in after)]

    def of(self, instance: str) -> Mapping[str, None]:
        """The models that ``instance`` loads."""
        return self._models.get(instance, _NONE)
