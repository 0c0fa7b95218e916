"""The settings as they are now: those given at the start, but for the few that can change while an instance runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from meshcore.settings import Settings


class Dials:
    """The one place where settings change; parts ask here each time and keep none of them."""

    NOT_STATE = frozenset({"fixed", "_in_force"})  # given, and made again from what is set

    def __init__(self, given: Settings) -> None:
        self._given = given
        self._settings = given
        self._in_force: dict[str, int] = {}
        """What of ``_set`` is in ``_settings``."""
        self._set: dict[str, int] = {}
        self.fixed: frozenset[str] = frozenset()
        """Fields that stay as they were given whatever is set: a replay decides by another setting."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        if self._in_force != self._set:
            self._in_force = dict(self._set)
            wanted = {name: number for name, number in self._set.items() if name not in self.fixed}
            self._settings = replace(self._given, **wanted)
        return self._settings

    def turn(self, values: Mapping[str, int]) -> bool:
        """Fields of Settings are ``values`` from now on, all others as they were given; whether that is news."""
        is_news = self._set != values
        self._set.clear()
        self._set.update(values)
        return is_news
