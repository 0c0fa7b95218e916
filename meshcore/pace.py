"""Time as an instance lives it: it grows with the clock, but for stretches in which nobody looked as was due."""

from __future__ import annotations


class Pace:
    """Counts milliseconds from the first look on.

    A look that comes much later than it was due shows a clock that jumped or a process that stood still. What lies
    between says nothing of how long anything went unused, and is left out.
    """

    def __init__(self) -> None:
        self.lived_ms = 0
        self._at = 0

    def look(self, now: int, due: int, slack_ms: int) -> bool:
        """It is ``now``; False: it was to be looked at the instant ``due``, and that is over for ``slack_ms``."""
        at, self._at = self._at or now, now
        if now - due > slack_ms:
            return False
        self.lived_ms += now - at
        return True
