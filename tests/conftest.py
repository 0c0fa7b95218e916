"""What all tests share: the list of what a run left out."""

from __future__ import annotations

import pytest

from tests.omitted import OMITTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not OMITTED:
        return
    terminalreporter.section("left out for want of a tool")
    for reason, count in sorted(OMITTED.items()):
        terminalreporter.write_line(f"{count} test{'s' if count > 1 else ''}: {reason}")
