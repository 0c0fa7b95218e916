"""Which models are meant, as people write it on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from mmctl.errors import Usage, nearest
from mmctl.values import Status


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts; Usage for anything else."""
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Usage(f"--label {pair!r}: write NAME=VALUE")
        labels[name] = value
    return labels


def parse_status(text: str) -> Status | None:
    """A status as people write it: ``loaded``, ``NOT_LOADED``, ``loading-failed``, ``failed``; None for nothing."""
    if not text:
        return None
    word = text.lower().replace("-", "_").replace(" ", "_")
    try:
        return Status.LOADING_FAILED if word == "failed" else Status(word)
    except ValueError:
        raise Usage(f"--status {text!r}: {nearest(word, list(Status))}") from None
