"""Where log lines go: stderr, as text for people or as JSON lines for collectors."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TextIO


class TextLines(logging.Formatter):
    """``2026-01-02T03:04:05.678Z WARNING meshd.spi: text``, tracebacks below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\n", "\\n")  # ids may hold anything; a line is a line
        return super().formatMessage(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _instant(record)


class JsonLines(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``text`` and, after an exception, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all of at least ``level`` (debug, info, warning, error) to ``stream`` (stderr) in ``form`` (text, json)."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # An access line for every probe and scrape is of use to nobody.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _instant(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
