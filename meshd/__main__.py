"""`meshd`: read the configuration, run one instance, end with an exit code that says how it went."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from meshcore.errors import BadRecord
from meshd import config as configuration
from meshd import log, stopping
from meshd.app import App
from meshd.build import described
from meshd.certificates import TlsError
from meshd.config import Config, ConfigError
from meshd.handshake import RuntimeUnusable
from meshd.start_error import StartError
from meshd.store.base import StoreError
from meshd.store.connect import StoreConfigError
from meshd.web import ListenError

NOT_ACTED_ON = "(not acted on yet)"
WIDEST = 44
"""A column of ``--print-config``: a longer value moves its own line only."""

_log = logging.getLogger("meshd")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Exit code: 0 it ran and ended in order, 1 it could not start or go on, 2 a setting is wrong."""
    parser = argparse.ArgumentParser(
        prog="meshd", description="One instance of a model mesh, set up by its environment."
    )
    parser.add_argument("--config", metavar="FILE", default="", help="YAML file of settings; the environment wins")
    parser.add_argument("--version", action="store_true", help="print the version, and the build that is installed")
    parser.add_argument("--print-config", action="store_true", help="print every setting with its value and origin")
    parser.add_argument("-o", dest="form", choices=("table", "json"), help="how it is printed; table unless said")
    options = parser.parse_args(arguments)
    if options.form and not options.print_config:
        parser.error("-o says how --print-config prints; give both or neither")
    if options.version:
        print(f"meshd {version('meshd')}{described(os.environ.get(configuration.INSTALLED, ''))}")
        return 0
    try:
        config = configuration.load(options.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        if not options.print_config:
            _say_why(error.termination_path, "; ".join(error.problems))
        return 2
    if options.print_config:
        for remark in (*config.warnings, *config.faults):
            print(remark, file=sys.stderr)
        _print(config, options.form)
        return 0
    log.configure(config.log_level, config.log_format, headers=config.log_headers)
    for warning in config.warnings:
        _log.warning(warning)
    for fault in config.faults:
        _log.error(fault)
    return asyncio.run(_serve(config))


async def _serve(config: Config) -> int:
    app = App(config)
    stopping.on_signals(app.ending.ask)
    told = [asyncio.ensure_future(stopping.on_line(app.ending.ask))]
    if config.anchor_path:
        told.append(asyncio.ensure_future(stopping.on_anchor(config.anchor_path, app.ending.ask)))
    try:
        await app.run()
    except (
        ConfigError, StartError, ListenError, TlsError, RuntimeUnusable, StoreError, StoreConfigError, BadRecord,
    ) as error:  # fmt: skip
        _log.error("%s", error)
        _say_why(config.termination_path, str(error))
        return 1
    finally:
        for each in told:
            each.cancel()
    if (failure := app.fail()) is None:
        return 0
    _say_why(config.termination_path, str(failure))
    return 1


def _say_why(path: str, reason: str) -> None:
    """Leave the reason where Kubernetes looks for it."""
    if path:
        with suppress(OSError):
            Path(path).write_text(f"Service startup failed: {reason}\n", "utf-8", "backslashreplace")


def _print(config: Config, form: str | None) -> None:
    rows = configuration.describe(config)
    if form == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = [("SETTING", "VALUE", "ORIGIN", "UNIT", "MEANING")]
    for row in rows:
        meaning = row.meaning if row.is_acted_on else f"{row.meaning} {NOT_ACTED_ON}"
        table.append((row.name, " ".join(row.value.split()), row.origin, row.unit, meaning))
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*table, strict=True)]
    lines = ("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)
    # In one go, for whoever reads may have enough after some lines; a variable may hold what is no text.
    print("\n".join(lines).encode(errors="backslashreplace").decode())


if __name__ == "__main__":
    main()
