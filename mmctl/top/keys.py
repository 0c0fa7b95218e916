"""What was typed, read off the bytes that a terminal sends for it."""

from __future__ import annotations

import codecs

ENTER, ESCAPE, BACKSPACE = "enter", "escape", "backspace"
UP, DOWN, LEFT, RIGHT = "up", "down", "left", "right"
PAGE_UP, PAGE_DOWN, HOME, END = "page up", "page down", "home", "end"

_SINGLE = {"\r": ENTER, "\n": ENTER, "\x7f": BACKSPACE, "\b": BACKSPACE}
_FINAL = {"A": UP, "B": DOWN, "C": RIGHT, "D": LEFT, "H": HOME, "F": END}
_TILDE = {"1": HOME, "7": HOME, "4": END, "8": END, "5": PAGE_UP, "6": PAGE_DOWN}
_LONGEST = 16
"""A sequence that is longer than any that a key sends is none."""


class Keys:
    """Bytes in, keys out: a name from above, or one character.

    A sequence may come in pieces. One that begins with ESC and does not go on may be the key of that name: ``settle``
    says that no more came for a while.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._left = ""

    @property
    def is_open(self) -> bool:
        """Whether it depends on what comes next which key this was."""
        return bool(self._left)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete with ``data``."""
        self._left += self._decoder.decode(data)
        keys: list[str] = []
        while self._left and (found := self._next()) is not None:
            taken, key = found
            self._left = self._left[taken:]
            keys += [key] if key else []
        return keys

    def settle(self) -> list[str]:
        """What is left stands for itself: nothing followed it."""
        left, self._left = self._left, ""
        return [ESCAPE] if left == "\x1b" else []

    def _next(self) -> tuple[int, str] | None:
        """How many characters the first key has, and its name (empty: none that counts); None: more have to come."""
        text = self._left
        if text[0] != "\x1b":
            key = _SINGLE.get(text[0], text[0])
            return 1, key if len(key) > 1 or key.isprintable() else ""
        if len(text) == 1:
            return None
        if text[1] == "\x1b":
            return 1, ESCAPE
        if text[1] not in "[O":
            return 2, ""  # Alt and a key
        for at in range(2, len(text)):
            if "@" <= text[at] <= "~":
                inner = text[2:at]
                key = _TILDE.get(inner, "") if text[at] == "~" else _FINAL.get(text[at], "")
                return at + 1, key
        return (len(text), "") if len(text) > _LONGEST else None
