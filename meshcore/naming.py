"""Which models name which instances, found from either end."""

from __future__ import annotations


class Naming:
    """Models and the instances that each of them names for one purpose; most name none and cost nothing."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, ...]] = {}
        self._naming: dict[str, dict[str, None]] = {}

    def __contains__(self, model: str) -> bool:
        return model in self._named

    def __len__(self) -> int:
        """Models that name an instance."""
        return len(self._named)

    def naming(self, instance: str) -> list[str]:
        """The models that name ``instance``."""
        return list(self._naming.get(instance, ()))

    def update(self, model: str, named: tuple[str, ...]) -> None:
        """``model`` names these instances from now on."""
        before = self._named.get(model, ())
        if before == named:
            return
        for instance in before:
            self._naming[instance].pop(model, None)
            if not self._naming[instance]:
                del self._naming[instance]
        for instance in named:
            self._naming.setdefault(instance, {})[model] = None
        if named:
            self._named[model] = named
        else:
            del self._named[model]
