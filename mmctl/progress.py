"""How long work is told to a person: lines that stay, and on a terminal one that shows what is being waited for."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.status import Status
from rich.text import Text

from mmctl.output import tame, words
from mmctl.sizes import printable


class Progress:
    """Lines on stderr; ``waiting`` replaces the last line on a terminal and is silent elsewhere.

    ``is_silent``: nobody is told anything.
    """

    def __init__(self, is_silent: bool = False) -> None:
        self._console: Console = Console(quiet=True) if is_silent else words()
        self._is_shown = self._console.is_terminal  # to find out takes longer than most of what is told
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.still()

    def waiting(self, text: str) -> None:
        """What happens now."""
        if not self._is_shown:
            return
        if self._status is None:
            self._status = self._console.status(Text(printable(text)), spinner="dots")
            self._status.start()
        else:
            self._status.update(Text(printable(text)))

    def still(self) -> None:
        """Nothing is being waited for any more."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def line(self, text: str, style: str = "") -> None:
        """Something that happened."""
        self._console.print(Text(tame(text), style=style))
