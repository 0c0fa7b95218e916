"""One HTTP GET as a probe makes it: what is answered, and what the other side takes the time to be."""

from __future__ import annotations

import asyncio
import io
import re
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, parse_headers

WAIT_S = 5.0
"""For the whole answer."""
SILENT = f"no answer within {WAIT_S:g} s"
NO_HTTP = "what it answers is not HTTP"
MOST_BYTES = 8 << 20
"""Of an answer; the rest is not read."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}).*?\r\n")


@dataclass(frozen=True, slots=True)
class Page:
    """``status`` 0: nothing was answered, and ``text`` says why. ``skew_ms``: how far ahead of this machine the other
    side's clock is at least (negative: behind); None: it did not tell."""

    status: int
    text: str
    skew_ms: int | None = None


async def get(address: str, path: str, tls: ssl.SSLContext | None = None) -> Page:
    """The page at ``path`` of host:port, without proxies."""
    before_ms = now_ms()
    try:
        async with asyncio.timeout(WAIT_S):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                after_ms = now_ms()
                told = _STATUS.match(head)
                if told is None:
                    return Page(0, NO_HTTP)
                fields = parse_headers(io.BytesIO(head[told.end() :]))
                body = await _body(reader, fields.get("Content-Length", ""))
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Page(0, SILENT)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, HTTPException):
        return Page(0, NO_HTTP)
    except OSError as error:
        return Page(0, error.strerror or str(error) or type(error).__name__)
    return Page(int(told[1]), body.decode("utf-8", "replace"), skew_ms(fields.get("Date"), before_ms, after_ms))


async def _body(reader: asyncio.StreamReader, length: str) -> bytes:
    """As long as it was said to be, else until the other side is done; no more than is wanted."""
    left, parts = min(int(length), MOST_BYTES) if length.isdigit() else MOST_BYTES, []
    while left > 0 and (part := await reader.read(min(left, 1 << 16))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def skew_ms(date: str | None, before_ms: int, after_ms: int) -> int | None:
    """How far ahead the clock was that made a ``Date`` header between two instants here; 0 where it may be right.

    The header has whole seconds, cut off.
    """
    try:
        begin_ms = int(parsedate_to_datetime(date or "").timestamp() * 1000)
    except (TypeError, ValueError):
        return None
    if begin_ms > after_ms:
        return begin_ms - after_ms
    return min(0, begin_ms + 1000 - before_ms)


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def without_proof() -> ssl.SSLContext:
    """For a look at somebody whose certificate is judged apart, or signed by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
