"""Names of instances and models with as many digits as a scenario gives them, however many it was written with.

Where the number of instances is varied, `instance-1` may be `instance-01`, and means the same.
"""

from __future__ import annotations

import re
from typing import Any

_NAME = re.compile(r"(instance|model)-0*([0-9]+)")
_LISTS = "failures", "slow_disks", "joins", "leaves", "restarts", "kills", "freezes", "partitions"


def with_names(tree: dict[str, Any]) -> dict[str, Any]:
    """The keys and values of a scenario, unchecked, with these names; what is of no known form stays as it is, and so
    do models that have names of their own."""
    models = tree.get("models")
    is_named = isinstance(models, dict) and models.get("names") is not None
    counts = {"instance": _count(tree.get("instances")), "model": None if is_named else _count(models)}

    def padded(value: Any) -> Any:
        match = _NAME.fullmatch(value) if isinstance(value, str) else None
        count = counts[match[1]] if match else None
        if match is None or count is None:
            return value
        return f"{match[1]}-{match[2]:0>{len(str(count - 1))}}"

    def named(each: Any) -> Any:
        if not isinstance(each, dict):
            return each
        changed = {key: padded(each[key]) for key in ("instance", "model") if key in each}
        if isinstance(each.get("instances"), list):
            changed["instances"] = [padded(name) for name in each["instances"]]
        return each | changed

    lists = {key: tree[key] for key in _LISTS if isinstance(tree.get(key), list)}
    return tree | {key: [named(each) for each in found] for key, found in lists.items()}


def _count(part: Any) -> int | None:
    count = part.get("count") if isinstance(part, dict) else None
    return count if type(count) is int and count > 0 else None
