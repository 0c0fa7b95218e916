"""What all tests share: the list of what a run left out, and that an interrupt reaches what tests start."""

from __future__ import annotations

import signal

import pytest

from tests.omitted import OMITTED


def pytest_configure() -> None:
    """A shell has interrupts ignored by what it runs in the background, and by all that this starts in turn."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not OMITTED:
        return
    terminalreporter.section("left out for want of a tool")
    for reason, count in sorted(OMITTED.items()):
        terminalreporter.write_line(f"{count} test{'s' if count > 1 else ''}: {reason}")
