"""`meshd`: read the configuration, run one instance, end with an exit code that says how it went."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from meshd import config as configuration
from meshd import log
from meshd.app import App, StartError
from meshd.config import Config, ConfigError
from meshd.handshake import RuntimeUnusable
from meshd.store.base import StoreError
from meshd.store.connect import StoreConfigError
from meshd.web import ListenError

_log = logging.getLogger("meshd")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Exit code: 0 it ran and ended in order, 1 it could not start or go on, 2 a setting is wrong."""
    parser = argparse.ArgumentParser(
        prog="meshd", description="One instance of a model mesh, set up by its environment."
    )
    parser.add_argument("--print-config", action="store_true", help="print every setting with its value and origin")
    options = parser.parse_args(arguments)
    try:
        config = configuration.load()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if options.print_config:
        _print(config)
        return 0
    log.configure(config.log_level, config.log_format)
    for warning in config.warnings:
        _log.warning(warning)
    return asyncio.run(_serve(config))


async def _serve(config: Config) -> int:
    app = App(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop.set)
    try:
        await app.run()
    except (StartError, ListenError, RuntimeUnusable, StoreError, StoreConfigError) as error:
        _log.error("%s", error)
        _say_why(config, str(error))
        return 1
    if (failure := app.fail()) is None:
        return 0
    _say_why(config, str(failure))
    return 1


def _say_why(config: Config, reason: str) -> None:
    """Leave the reason where Kubernetes looks for it."""
    if config.termination_path:
        with suppress(OSError):
            Path(config.termination_path).write_text(f"Service startup failed: {reason}\n")


def _print(config: Config) -> None:
    rows = configuration.describe(config)
    widths = [max(len(getattr(row, name)) for row in rows) for name in ("name", "value", "origin", "unit")]
    for row in rows:
        cells = (row.name, row.value, row.origin, row.unit)
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), row.meaning, sep="  ")


if __name__ == "__main__":
    main()
