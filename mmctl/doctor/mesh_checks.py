"""The checks on the instances of a mesh: what they say of themselves, their ports, clocks and certificates."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from meshcore import dynamic
from meshd.store.base import StoreError
from mmctl.doctor import mesh_rules
from mmctl.doctor.certificates import Identity, now_utc, of_identity
from mmctl.doctor.check import Check, NotLooked
from mmctl.doctor.environment import START_S, of_environment, tried
from mmctl.doctor.files import of_files
from mmctl.doctor.finding import Finding, Level, note, ok, problem, warning
from mmctl.doctor.settings_rules import of_settings
from mmctl.doctor.subject import Subject
from mmctl.doctor.web import now_ms
from mmctl.errors import CommandError
from mmctl.problems import Level as Gravity
from mmctl.sizes import count

LEVELS = {Gravity.ERROR: Level.PROBLEM, Gravity.WARNING: Level.WARNING, Gravity.NOTE: Level.NOTE}
"""What `mmctl status` calls an error is what clients may notice."""
UNREACHED = (CommandError, NotLooked, StoreError)
"""Instances cannot be asked; which check says so is `ports`."""
ALL_MODELS_S = 60.0
"""A registry of a million models is gone through for the status."""


def mesh_checks(subject: Subject) -> list[Check]:
    """All of them."""

    async def status() -> Sequence[Finding]:
        if subject.kv_store:
            with suppress(NotLooked):
                await subject.etcd()  # is timed, and a registry that is gone through here would hold it up
        health = await subject.health()
        found = [Finding(LEVELS[each.level], each.text, do=each.do) for each in health.problems]
        fine = f"{count(len(health.instances), 'instance')}, {count(health.census.registered, 'model')}"
        return [*found, ok(fine)] if all(finding.level is Level.NOTE for finding in found) else found

    async def ports() -> Sequence[Finding]:
        phases = {instance.id: instance.phase for instance in await subject.instances()}
        return mesh_rules.of_ports(await subject.reached(), phases)

    async def mesh_port() -> Sequence[Finding]:
        return mesh_rules.of_mesh_ports(await subject.reached())

    async def clocks() -> Sequence[Finding]:
        skews: dict[str, int | None] = {}
        starts: dict[str, int] = {}
        with suppress(NotLooked):
            skews |= {f"etcd at {each.address}": each.skew_ms for each in (await subject.etcd()).endpoints}
        with suppress(*UNREACHED):
            for name, reached in (await subject.reached()).items():
                told = [page.skew_ms for page in (reached.live, reached.metrics) if page.skew_ms is not None]
                skews[name] = told[0] if told else None
            starts = {each.id: each.start_ms for each in await subject.instances()}
        return mesh_rules.of_clocks(skews, starts, now_ms())

    async def certificates() -> Sequence[Finding]:
        found = of_files(subject.env, now_ms())
        try:
            instances = await subject.reached()
        except UNREACHED:
            return found or [note("no instance shows its certificates", do="see ports")]
        for name, reached in instances.items():
            shown = ((reached.certificate, "clients"), (reached.mesh_certificate, "other instances"))
            for certificate, whom in shown:
                if certificate:
                    where = f"{name}, port for {whom}"
                    found += of_identity(Identity(where, certificate), now_utc(now_ms()))
        return found or [ok("no TLS, so no certificates")]

    async def settings() -> Sequence[Finding]:
        known = {name: (setting.value, setting.origin) for name, setting in (await subject.settings()).items()}
        return of_settings(known)

    async def dynamic_settings() -> Sequence[Finding]:
        look, found, number = subject.look(), list[Finding](), 0
        async for key, value in look.pairs(f"{look.root}config/"):
            number += 1
            found += of_dynamic(key.removeprefix(f"{look.root}config/"), value)
        return found or [ok(f"{number} set for the whole mesh")]

    async def environment() -> Sequence[Finding]:
        if not subject.is_env_given:
            raise NotLooked("give the environment of an instance as --env-file")
        return of_environment(await tried(subject.env))

    return [
        Check("status", status, ALL_MODELS_S),
        Check("ports", ports),
        Check("mesh-port", mesh_port),
        Check("clocks", clocks),
        Check("certificates", certificates),
        Check("settings", settings),
        Check("config", dynamic_settings),
        Check("environment", environment, START_S),
    ]


def of_dynamic(name: str, value: bytes) -> list[Finding]:
    """One key below config/ in the store."""
    known = dynamic.BY_NAME.get(name)
    if known is None:
        return [warning(f"{name} is not a setting", "config/ in the store", f"`etcdctl del` it; {_known()}")]
    try:
        parsed = known.parsed(value)
    except ValueError as error:
        return [
            problem(
                f"{error}; the last good value stays in force",
                "config/ in the store",
                f"`mmctl config set {name} VALUE`",
            )
        ]
    if known is dynamic.DISABLE and parsed:
        return [
            problem("disable is set: no instance can start", "config/ in the store", "`mmctl config unset disable`")
        ]
    if known is dynamic.SEND_DESTINATION_ID:
        return [note(f"{name} has no effect here", "config/ in the store")]
    return [ok(f"{name}={parsed}", "config/ in the store")]


def _known() -> str:
    return f"known: {', '.join(dynamic.BY_NAME)}"
