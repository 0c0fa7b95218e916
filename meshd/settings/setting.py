"""What one row of the table of settings says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from meshd.settings.kinds import Kind


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable. ``default`` is written as a user would write it; empty: the meaning says; None: must be set."""

    name: str
    field: str
    """The attribute of ``meshd.config.Config``."""
    kind: Kind
    default: str | None
    meaning: str
    unit: str = ""
    aliases: tuple[str, ...] = ()
    unset: object = ""
    """The value where neither the environment nor ``default`` says one."""
    secret: re.Pattern[str] | None = None
    """The part of a value that is never shown."""
    is_acted_on: bool = True
    """False: it is read and checked, and nothing follows from it yet."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names it goes by; the first that is set counts."""
        return (self.name, *self.aliases)

    def masked(self, text: str) -> str:
        """``text`` as it may stand in a log."""
        return self.secret.sub("***", text) if self.secret else text
