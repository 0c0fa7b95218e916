"""Leaving a test out, and refusing to."""

from __future__ import annotations

from collections import Counter

import pytest

from tests import omitted


def test_omitted_test_is_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omitted, "OMITTED", Counter())
    monkeypatch.delenv("REQUIRE_ALL", raising=False)
    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match="no such tool"):
            omitted.omit("no such tool")
    assert omitted.OMITTED == {"no such tool": 2}


def test_nothing_is_omitted_where_all_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omitted, "OMITTED", Counter())
    monkeypatch.setenv("REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no such tool"):
        omitted.omit("no such tool")
    assert not omitted.OMITTED
