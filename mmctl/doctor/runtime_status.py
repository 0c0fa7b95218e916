"""What a runtime says of itself when it is ready, looked over as the mesh will do it."""

from __future__ import annotations

from typing import Any

from meshcore.capacity import CacheParams
from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.sizes import human_size

SIZE_MOST = 2**62
"""Nothing is larger; above this a size is a mistake, most often a negative number."""

SHORT_MS, LONG_MS = 1_000, 3_600_000
MANY_LOADS = 64


def look_over(status: Any) -> list[Finding]:
    """Findings about a RuntimeStatusResponse that says READY."""
    found = [*_of_figures(status), *_of_methods(status)]
    if not status.runtimeVersion:
        found.append(note("runtimeVersion is empty", do="say it: it is what tells builds apart in a mixed mesh"))
    figures = (
        f"READY, {human_size(status.capacityInBytes)} for models, {status.maxLoadingConcurrency} loads at once, "
        f"{status.modelLoadingTimeoutMs / 1000:g} s for each"
    )
    return [*found, ok(figures)] if not any(finding.level == "problem" for finding in found) else found


def _of_figures(status: Any) -> list[Finding]:
    for name in ("capacityInBytes", "defaultModelSizeInBytes"):
        if getattr(status, name) > SIZE_MOST:
            return [problem(f"{name} is {getattr(status, name)}", do="a size is a number of bytes, and not negative")]
    try:
        CacheParams.from_runtime(
            capacity_bytes=status.capacityInBytes,
            load_threads=status.maxLoadingConcurrency,
            load_timeout_ms=status.modelLoadingTimeoutMs,
            default_size_bytes=status.defaultModelSizeInBytes,
            limits_concurrency=status.limitModelConcurrency,
        )
    except ValueError as error:
        return [problem(str(error), do="an instance ends at its start with this sentence: correct the figure")]
    found = []
    if status.modelLoadingTimeoutMs < SHORT_MS:
        found.append(
            warning(
                f"modelLoadingTimeoutMs is {status.modelLoadingTimeoutMs}: loads are cancelled after it",
                do="it has to be more than the longest load takes on a busy host",
            )
        )
    if status.modelLoadingTimeoutMs > LONG_MS:
        found.append(
            warning(
                f"modelLoadingTimeoutMs is {status.modelLoadingTimeoutMs}: a load that hangs holds its "
                "place for that long",
                do="it should be a few times what the longest load takes",
            )
        )
    if status.maxLoadingConcurrency > MANY_LOADS:
        found.append(
            warning(
                f"maxLoadingConcurrency is {status.maxLoadingConcurrency}: so many loads come at once",
                do="say how many loads the host can do side by side",
            )
        )
    return found


def _of_methods(status: Any) -> list[Finding]:
    found = []
    for method, info in sorted(status.methodInfos.items()):
        service, slash, name = method.rpartition("/")
        if not slash or not service or not name or service.startswith("/"):
            found.append(
                problem(
                    f"methodInfos names {method!r}, which no call matches",
                    do="write package.Service/Method, without a slash before it",
                )
            )
        elif service.endswith("ModelRuntime"):
            found.append(warning(f"methodInfos names {method}, which clients can never call", do="leave it out"))
        if 0 in info.idInjectionPath:
            found.append(problem(f"idInjectionPath of {method} has the field number 0", do="fields count from 1"))
    if status.allowAnyMethod and not status.methodInfos:
        found.append(note("allowAnyMethod changes nothing without methodInfos: every method may be called"))
    return found
