"""One HTTP GET as a probe makes it: what is answered, and what the other side takes the time to be."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp

WAIT_S = 5.0
"""For the whole answer."""
SILENT = f"no answer within {WAIT_S:g} s"
NO_HTTP = "what it answers is not HTTP"
MOST_BYTES = 8 << 20
"""Of an answer; the rest is not read."""


@dataclass(frozen=True, slots=True)
class Page:
    """``status`` 0: nothing was answered, and ``text`` says why. ``skew_ms``: how far ahead of this machine the other
    side's clock is at least (negative: behind); None: it did not tell."""

    status: int
    text: str
    skew_ms: int | None = None


async def get(address: str, path: str, tls: ssl.SSLContext | None = None) -> Page:
    """The page at ``path`` of host:port, without proxies."""
    url, before_ms = f"{'https' if tls else 'http'}://{address}{path}", now_ms()
    session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S))
    try:
        async with session, session.get(url, ssl=tls or True, allow_redirects=False) as answer:
            after_ms, body = now_ms(), bytearray()
            async for part in answer.content.iter_chunked(1 << 16):
                body += part
                if len(body) >= MOST_BYTES:
                    break
            text = body[:MOST_BYTES].decode("utf-8", "replace")
            return Page(answer.status, text, skew_ms(answer.headers.get("Date"), before_ms, after_ms))
    except TimeoutError:
        return Page(0, SILENT)
    except OSError as error:
        return Page(0, error.strerror or str(error) or type(error).__name__)
    except (aiohttp.ClientError, ValueError):
        return Page(0, NO_HTTP)


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
