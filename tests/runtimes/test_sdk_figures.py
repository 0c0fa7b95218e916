"""Figures that an author or a command line gives are understood, or refused before anything starts."""

from __future__ import annotations

import asyncio

import pytest

from runtimes import sdk
from tests.runtimes.shelf import ANY_PORT, Shelf


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("default_model_size_bytes", 0, "default_model_size_bytes is 0"),
        ("max_loading_concurrency", 0, "max_loading_concurrency is 0"),
        ("load_timeout_ms", 99, "load_timeout_ms is 99"),
        ("capacity_bytes", (10 << 20) - 1, "at least 10485760"),
    ],
)
def test_figures_that_the_mesh_would_refuse_are_refused_at_once(attribute: str, value: int, said: str) -> None:
    async def run() -> None:
        runtime = Shelf()
        setattr(runtime, attribute, value)
        async with sdk.serving(runtime, ANY_PORT):
            pass

    with pytest.raises(ValueError, match=said):
        asyncio.run(run())


def test_the_least_capacity_follows_from_the_default_size() -> None:
    runtime = Shelf()
    for default_mib, least_mib in ((1, 10), (100, 512), (400, 800)):
        runtime.default_model_size_bytes = default_mib << 20
        runtime.capacity_bytes = least_mib << 20
        sdk.check(runtime)
        runtime.capacity_bytes -= 1
        with pytest.raises(ValueError, match=str(least_mib << 20)):
            sdk.check(runtime)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1048576", 1 << 20), ("512MiB", 512 << 20), ("2GB", 2 * 10**9), ("64k", 64_000), ("1.5 GiB", 3 << 29), ("7b", 7)],
)
def test_sizes_on_the_command_line(text: str, value: int) -> None:
    assert sdk.size_bytes(text) == value


@pytest.mark.parametrize("text", ["", "MiB", "12 parrots", "-3", "1i"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        sdk.size_bytes(text)
