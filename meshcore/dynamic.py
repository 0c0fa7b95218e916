"""What can be set for a whole mesh while it runs: one text each below ``config/`` in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SCALEUP_LEAST_RPM = 10
MOST = 2**31 - 1
"""ModelMesh reads such a number into 32 bits."""

LOG_LEVELS = {
    "all": "debug", "trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "warning": "warning",
    "error": "error", "fatal": "critical", "critical": "critical", "off": "off",
}  # fmt: skip
"""The levels that ModelMesh knows, and their names here."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """One of them. ``parse`` raises ValueError for a text that is not what ``allowed`` says."""

    name: str
    variable: str
    """The setting that counts where the store says nothing; empty: there is none."""
    parse: Callable[[str], int | str | bool]
    allowed: str
    meaning: str
    unit: str = ""
    knob: str = ""
    """The field of Settings that it turns."""

    def parsed(self, value: bytes) -> int | str | bool:
        """What stands in the store as a value. Raises ValueError with a sentence."""
        try:
            return self.parse(value.decode().strip().lower())
        except ValueError:
            shown = value[:80].decode("utf-8", "backslashreplace").replace("\n", "\\n")
            raise ValueError(f"{self.name}={shown} is not allowed; allowed: {self.allowed}") from None


def _rpm(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and SCALEUP_LEAST_RPM <= int(text[:20]) <= MOST):
        raise ValueError
    return int(text)


def _flag(text: str) -> bool:
    return ("false", "true").index(text) == 1


def _level(text: str) -> str:
    if text not in LOG_LEVELS:
        raise ValueError
    return LOG_LEVELS[text]


LOGGER_LEVEL = Dynamic(
    "logger_level", "MM_LOG_LEVEL", _level, "trace, debug, info, warn, error, fatal or off", "what is logged"
)
LOG_EACH_INVOCATION = Dynamic(
    "log_each_invocation", "MM_LOG_EACH_INVOKE", _flag, "true or false", "log every request"
)  # fmt: skip
SCALEUP_RPM_THRESHOLD = Dynamic(
    "scaleup_rpm_threshold", "MM_SCALEUP_RPM_THRESHOLD", _rpm, f"a whole number from {SCALEUP_LEAST_RPM} to {MOST}",
    "a copy that is asked more often than this calls for another one; without effect where the runtime limits "
    "concurrency", "requests a minute", "scale_up_rpm",
)  # fmt: skip
DISABLE = Dynamic(
    "disable", "", lambda text: text != "false", "any text; false is as good as none", "instances refuse to start"
)
SEND_DESTINATION_ID = Dynamic(
    "send_destination_id", "", _flag, "true or false", "a setting of ModelMesh that has no effect here"
)

ALL = (DISABLE, LOG_EACH_INVOCATION, LOGGER_LEVEL, SCALEUP_RPM_THRESHOLD, SEND_DESTINATION_ID)
BY_NAME = {dynamic.name: dynamic for dynamic in ALL}
