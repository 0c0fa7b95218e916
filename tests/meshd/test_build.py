"""Which build an instance is, and which of two is newer."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshd.build import described, version_number
from meshd.config import Host, load, read

LEAST = {"MM_SERVICE_NAME": "mesh", "KV_STORE": "memory"}


def test_an_installed_build_counts_before_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**LEAST, "SERVICE_VERSION": "20200101-0000", "MM_INSTALL_PATH": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert load().service_version == "20200101-0000"
    (tmp_path / "build-version").write_text("BUILD_ID=20210101-0000 of some\nsecond line\n")
    assert (load().service_version, load().version) == ("20210101-0000", 1_609_459_200_000)
    assert load().origins["SERVICE_VERSION"] == "build-version"
    monkeypatch.setenv("MM_INSTALL_PATH", "")
    monkeypatch.chdir(tmp_path)
    assert load().service_version == "20210101-0000"
    (tmp_path / "build-version").write_bytes(b"\xff")
    assert load().service_version == "20200101-0000"


@pytest.mark.parametrize(
    ("build", "number"),
    [
        ("20200101-0000", 1_577_836_800_000),
        ("20200101-0001", 1_577_836_860_000),
        ("20200101-0000-7", 1_577_836_800_007),
        ("main-20200101-42", 1_577_836_800_042),
        ("a-b-20200101-42", 1_577_836_800_042),
        ("BUILD_ID=20200101-0000 and more", 1_577_836_800_000),
        ("20201399-0000", 0),
        ("20200101-9900", 0),
        ("v1.2.3", 0),
        ("", 0),
    ],
)
def test_builds_are_ordered_by_their_date(build: str, number: int) -> None:
    assert version_number(build) == number
    assert read({**LEAST, "SERVICE_VERSION": build}, Host("box", "10.0.0.9", "beef")).version == number


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (
            "BUILD=20210101-0000 of some\nversion=1.2\ncommit=4f1c2d\n",
            " (build 20210101-0000, version 1.2, commit 4f1c2d)",
        ),
        ("\nversion=\ncommit=4f1c2d\n", " (commit 4f1c2d)"),
        ("20210101-0000\nsecond line", " (build 20210101-0000)"),
        ("", ""),
    ],
)
def test_what_is_installed_is_told_in_words(tmp_path: Path, file: str, words: str) -> None:
    assert described(str(tmp_path)) == ""
    (tmp_path / "build-version").write_text(file)
    assert described(str(tmp_path)) == words
