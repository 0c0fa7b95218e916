"""Keeps TLS going while an instance runs: takes up renewed files, and tells of certificates that end or are refused."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from meshd.certificates import TlsError
from meshd.tls import Material, Tls, peer_context, read

LOOK_S = 30.0
SOON = timedelta(days=14)
REPEAT_S = 3600.0
"""What stays wrong is told again after this long."""
TRY_S = 5.0
MOST_TRIED = 16
"""Instances that are asked at a look."""
NOT_TAKEN = "does not accept the certificate of this one"

_log = logging.getLogger(__name__)


async def watch(tls: Tls, renewed: Callable[[], None]) -> None:
    """Look at the files and the connections over and over; ``renewed`` is called when others are in force."""
    if tls.material is None:
        await asyncio.Event().wait()
    told: dict[str, float] = {}
    while True:
        await _look(tls, renewed, told)
        await asyncio.sleep(LOOK_S)


async def _look(tls: Tls, renewed: Callable[[], None], told: dict[str, float]) -> None:
    now = asyncio.get_running_loop().time()
    for text in [text for text, at in told.items() if now - at >= REPEAT_S]:
        del told[text]
    problems = [*await _files(tls, renewed), *await _peers(tls)]
    for problem in problems:
        if told.setdefault(problem, now) == now:
            _log.warning("%s", problem)


async def _files(tls: Tls, renewed: Callable[[], None]) -> list[str]:
    now = datetime.now(UTC)
    try:
        found = await asyncio.to_thread(read, tls.config, now)
    except TlsError as error:
        return [f"{error}; what was read before stays in force"]
    assert found is not None
    if found != tls.material:
        tls.renew(found)
        renewed()
        _log.info("TLS is renewed; the certificate ends on %s", found.identity.ends.date())
    left = found.identity.ends - now
    return [f"the certificate of this instance ends in {left.days} days: renew it"] if left < SOON else []


async def _peers(tls: Tls) -> list[str]:
    failing = sorted(tls.dialer.take_failing())[:MOST_TRIED]
    if not failing or tls.material is None:
        return []
    try:
        context = peer_context(tls.config, tls.material, is_server=False)
    except (ssl.SSLError, OSError):  # the files are being renewed: the next look will do
        return []
    reasons = await asyncio.gather(*(_trouble(address, context, tls.material) for address in failing))
    return [
        f"the instance at {address} {reason}; requests go elsewhere"
        for address, reason in zip(failing, reasons, strict=True)
        if reason
    ]


async def _trouble(address: str, context: ssl.SSLContext, material: Material) -> str:
    """Why TLS with an instance does not come about, as it would be said of it; empty: it is not for TLS."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(TRY_S):
            reader, writer = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=context, server_hostname=material.identity.name
            )
            try:
                is_taken = bool(await reader.read(1))  # whom it does not take it leaves without a word
            finally:
                writer.close()
    except ssl.SSLCertVerificationError as error:
        return f"shows a certificate that is not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return _refusal(error.reason or str(error))
    except (OSError, TimeoutError, ValueError, OverflowError):  # a record may say what is no port
        return ""
    return "" if is_taken else NOT_TAKEN


def _refusal(reason: str) -> str:
    if "ALERT" in reason:
        return NOT_TAKEN
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return "does not speak TLS on its mesh port"
    return f"cannot be spoken to over TLS: {reason.lower().replace('_', ' ')}"
