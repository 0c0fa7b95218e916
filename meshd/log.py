"""Where log lines go: stderr, as text for people or as JSON lines for collectors."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TextIO

from meshd import request_id


class TextLines(logging.Formatter):
    """``2026-01-02T03:04:05.678Z WARNING meshd.spi: text``, tracebacks below.

    What a request causes has ``[request=<id> <key>=<value>]`` after the logger; ``headers`` are pairs of a header of
    the request and the key of its value.
    """

    def __init__(self, headers: request_id.Pairs = ()) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s%(about)s: %(message)s")
        self._headers = headers

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\n", "\\n")  # ids may hold anything; a line is a line
        record.about = self._about()
        return super().formatMessage(record)

    def _about(self) -> str:
        request = request_id.current()
        if not request:
            return ""
        pairs = (f" {key}={_word(value)}" for key, value in request_id.logged(self._headers).items())
        return f" [request={request}{''.join(pairs)}]"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _instant(record)


class JsonLines(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``text`` and, after an exception, ``error``.

    What a request causes has ``request``, its id, and ``context``, an object of the keys in ``headers``.
    """

    def __init__(self, headers: request_id.Pairs = ()) -> None:
        super().__init__()
        self._headers = headers

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if request := request_id.current():
            line["request"] = request
        if context := request_id.logged(self._headers):
            line["context"] = context
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str, form: str, stream: TextIO | None = None, headers: request_id.Pairs = ()) -> None:
    """Send all of at least ``level`` (debug, info, warning, error) to ``stream`` (stderr) in ``form`` (text, json).

    ``headers``: pairs of a request's header and the key that its value is logged under.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(headers) if form == "json" else TextLines(headers))
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
    # An access line for every probe and scrape is of use to nobody.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Log all of at least ``level`` from now on; beside those of ``configure`` there are critical, and off: nothing."""
    logging.getLogger().setLevel(logging.CRITICAL + 1 if level == "off" else level.upper())


def _word(value: str) -> str:
    """A value that cannot be taken for more than one, whoever sent it."""
    return value if value.isalnum() and value.isascii() else json.dumps(value, ensure_ascii=False)


def _instant(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
