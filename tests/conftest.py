"""What all tests share: their order, no limit of time for an example, the list of what a run left out, and that an
interrupt reaches what they start."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from tests.omitted import OMITTED

# How long an example takes says something of the machine, and nothing of what is tried.
settings.register_profile("any day", deadline=None)
settings.load_profile("any day")

LONG = ("e2e/test_mmctl.py", "e2e/test_mesh.py", "sim/test_scenarios.py", "e2e/", "test_docs.py", "meshd/test_main.py")
"""What begins first, as it takes longest: those who run files beside each other are then busy to the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a file stay together, and in their order."""

    def rank(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((rank for rank, part in enumerate(LONG) if f"tests/{part}" in path), len(LONG))

    items.sort(key=rank)


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
