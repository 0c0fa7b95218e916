"""Settings that are dangerous, or that take away what people count on, by name and value."""

from __future__ import annotations

from collections.abc import Mapping

from mmctl.doctor.finding import Finding, Level, note, ok, problem, warning

Known = Mapping[str, tuple[str, str]]
"""Value and origin by name."""

LEAST_LEASE_S, LEAST_SHUTDOWN_MS = 10, 12_000
_OURS = ("default", "derived", "")


def of_settings(known: Known) -> list[Finding]:
    """Findings about the settings that are known; others are taken to be as they are by default."""
    found = [*_of_tls(known), *_of_numbers(known)]

    def is_set(name: str, value: str) -> bool:
        return known.get(name, ("", ""))[0].lower() == value

    if known.get("KV_STORE", ("", ""))[0].startswith("memory"):
        found.append(
            warning("KV_STORE=memory: the registry ends with the process", do="use etcd for anything but trial")
        )
    if is_set("KV_READ_ONLY", "true"):
        found.append(warning("KV_READ_ONLY=true: nothing is registered, and nothing pruned", do="unset it afterwards"))
    if is_set("MM_FAILFAST_UPGRADE_ENABLED", "false"):
        found.append(note("MM_FAILFAST_UPGRADE_ENABLED=false: an upgrade to a broken build goes on", do="unset it"))
    if is_set("MM_PROBE_PORT", "none"):
        found.append(note("MM_PROBE_PORT=NONE: nobody can ask whether it is ready", do="unset it"))
    if is_set("MM_MIN_CHURN_AGE_MS", "0"):
        found.append(
            note(
                "MM_MIN_CHURN_AGE_MS=0: a full instance evicts models that are in use",
                do="leave it at -1 in production",
            )
        )
    if known.get("MM_LOG_LEVEL", ("", ""))[0] == "debug":
        found.append(note("MM_LOG_LEVEL=debug costs latency", do="set it back when you are done"))
    if "disable" in known and known["disable"][0] not in ("", "false"):
        found.append(problem("disable is set: no instance can start", do="`mmctl config unset disable`"))
    given = sum(origin not in _OURS for _, origin in known.values())
    if any(finding.level in (Level.WARNING, Level.PROBLEM) for finding in found):
        return found
    return [*found, ok(f"nothing dangerous among the {given} that are given")]


def _of_tls(known: Known) -> list[Finding]:
    if "MM_TLS_PRIVATE_KEY_PATH" not in known:
        return []
    value = {name: text for name, (text, _) in known.items()}
    if not value["MM_TLS_PRIVATE_KEY_PATH"]:
        return [
            note("no TLS: requests, and the key of the mesh, travel in the clear", do="docs/security.md, harden it")
        ]
    found = []
    if value.get("MM_ENABLE_SSL") == "false":
        found.append(
            warning("MM_ENABLE_SSL=false: instances call each other in the clear, with the mesh's key", do="unset it")
        )
    if value.get("MM_INTRACLUSTER_CLIENTAUTH") == "false":
        found.append(
            note("MM_INTRACLUSTER_CLIENTAUTH=false: the key alone keeps others from the mesh port", do="unset it")
        )
    if value.get("MM_TLS_CLIENT_AUTH") == "optional":
        found.append(warning("MM_TLS_CLIENT_AUTH=optional: clients are not asked for a certificate", do="require asks"))
    if value.get("MM_TLS_CLIENT_AUTH") == "require" and not value.get("MM_TLS_TRUST_CERT_PATH"):
        found.append(
            warning(
                "MM_TLS_CLIENT_AUTH=require without MM_TLS_TRUST_CERT_PATH: whoever has a certificate that "
                "is bought gets in",
                do="name the authority of your clients",
            )
        )
    return found


def _of_numbers(known: Known) -> list[Finding]:
    found = []
    lease, shutdown = (known.get(name, ("", ""))[0] for name in ("MM_LEASE_TTL_SECS", "SHUTDOWN_TIMEOUT_MS"))
    if lease.isdigit() and int(lease) < LEAST_LEASE_S:
        found.append(
            warning(
                f"MM_LEASE_TTL_SECS={lease}: a short pause of etcd takes the instance out of the mesh",
                do=f"{LEAST_LEASE_S} at least; 25 is the default",
            )
        )
    if shutdown.isdigit() and int(shutdown) < LEAST_SHUTDOWN_MS:
        found.append(
            warning(
                f"SHUTDOWN_TIMEOUT_MS={shutdown}: too short for others to take over its models",
                do="30000 at least, and terminationGracePeriodSeconds no less",
            )
        )
    return found
