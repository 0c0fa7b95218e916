"""The checks on the connection to the store and on the etcd behind it."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable, Collection, Sequence
from os.path import isfile
from pathlib import Path

from meshd.store.connect import StoreConfig, StoreConfigError
from mmctl.doctor import etcd_rules
from mmctl.doctor.certificates import Identity, now_utc, of_authorities, of_identity
from mmctl.doctor.check import Check
from mmctl.doctor.etcd_look import Etcd
from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.subject import Subject
from mmctl.doctor.tls_shown import shown_certificate
from mmctl.doctor.web import now_ms
from mmctl.sizes import count

LOOK_S = 30.0
"""An etcd that answers some calls and not others is waited for several times, one after the other."""


def store_checks(subject: Subject) -> list[Check]:
    """All of them."""

    def of_etcd(rule: Callable[[Etcd], Sequence[Finding]]) -> Callable[[], Awaitable[Sequence[Finding]]]:
        async def look() -> Sequence[Finding]:
            return rule(await subject.live_etcd())

        return look

    async def secret() -> Sequence[Finding]:
        try:
            return of_secret(subject.kv_store, subject.read_store())
        except StoreConfigError as error:
            return [problem(str(error), do="correct it, or give with --kv-store what can be read on this host")]

    async def reachable() -> Sequence[Finding]:
        return etcd_rules.reachable(await subject.etcd())

    async def permission() -> Sequence[Finding]:
        return etcd_rules.permission(await subject.live_etcd(), subject.root())

    async def certificates() -> Sequence[Finding]:
        config = subject.store()
        refused = {endpoint.address for endpoint in (await subject.etcd()).endpoints if endpoint.failure}
        return await of_etcd_certificates(config, refused, now_ms())

    return [
        Check("kv-store", secret),
        Check("etcd-reachable", reachable, LOOK_S),
        Check("etcd-version", of_etcd(etcd_rules.version), LOOK_S),
        Check("etcd-latency", of_etcd(etcd_rules.latency), LOOK_S),
        Check("etcd-alarms", of_etcd(etcd_rules.alarms), LOOK_S),
        Check("etcd-space", of_etcd(etcd_rules.space), LOOK_S),
        Check("etcd-members", of_etcd(etcd_rules.members), LOOK_S),
        Check("etcd-permission", permission, LOOK_S),
        Check("etcd-certificates", certificates, LOOK_S),
    ]


def of_secret(kv_store: str, config: StoreConfig) -> list[Finding]:
    """What a KV_STORE that can be read says, and what is odd about it."""
    etcd = config.etcd
    assert etcd is not None
    found = [warning(text, do="correct it, or take it out") for text in config.warnings]
    is_tls = [endpoint.is_tls for endpoint in etcd.endpoints]
    if any(is_tls) and not all(is_tls):
        found.append(warning("some endpoints are with TLS and some without", do="set tls_mode, or a scheme for each"))
    if etcd.user and not all(is_tls):
        found.append(warning("the password goes to etcd in the clear", do="give etcd TLS, and set tls_mode to TLS"))
    if etcd.tls.trust is not None and not any(is_tls):
        found.append(warning("certificate is given, and TLS is not spoken", do="set tls_mode to TLS, or use https://"))
    addresses = [endpoint.address for endpoint in etcd.endpoints]
    if len(set(addresses)) < len(addresses):
        found.append(note("an endpoint is named twice", do="name each once"))
    file = _file(kv_store)
    if file is not None and etcd.password and file.stat().st_mode & stat.S_IROTH:
        found.append(note(f"everybody on this host can read {file}, which has a password", do=f"chmod o-r {file}"))
    user = f", as {etcd.user}" if etcd.user else ""
    tls = ", TLS" if all(is_tls) else ""
    return found or [ok(f"{count(len(addresses), 'endpoint')}{tls}{user}", str(file or ""))]


async def of_etcd_certificates(config: StoreConfig, refused: Collection[str], now: int) -> list[Finding]:
    """Those that KV_STORE names, and those that etcd shows; where it answers, chain and name are good.

    Only its own certificate is seen here, not what it shows beside it.
    """
    etcd = config.etcd
    assert etcd is not None
    when, tls, found = now_utc(now), etcd.tls, list[Finding]()
    secured = [endpoint.address for endpoint in etcd.endpoints if endpoint.is_tls]
    if tls.trust:
        found += of_authorities("certificate of KV_STORE", tls.trust, when)
    if tls.certificate and tls.key:
        found += of_identity(Identity("client_certificate of KV_STORE", tls.certificate, tls.key), when)
    for address, shown in zip(secured, await asyncio.gather(*map(shown_certificate, secured)), strict=True):
        where = f"etcd at {address}"
        if not shown:
            found.append(note("shows no certificate", where, "see etcd-reachable"))
            continue
        names = (tls.authority or address.rpartition(":")[0].strip("[]"),)
        is_refused = address in refused
        trust = (tls.trust or b"") if is_refused else b""
        found += of_identity(Identity(where, shown, trust=trust, names=names if is_refused else ()), when)
    return found or [ok("no TLS to etcd, so no certificates")]


def _file(kv_store: str) -> Path | None:
    path = kv_store.strip().partition(":")[2]
    return Path(path) if isfile(path) else None
