"""The settings of this instance for whoever asks, and those of the whole mesh for whoever sets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshcore import dynamic
from meshcore.dynamic import Dynamic
from meshcore.errors import Code, MeshError, StoreAway
from meshcore.kv import ANY, DELETE, Write
from meshd.build import FILE as BUILD_FILE
from meshd.config import DEFAULT, DERIVED, FILE, Config
from meshd.records import Keys
from meshd.settings.kinds import nearest
from meshd.settings.setting import Setting
from meshd.settings.table import SETTINGS
from meshd.store.base import Store, StoreError
from meshd.tuning import Tuning
from protos import meshd_pb2 as wire

_STATIC = {name: setting for setting in SETTINGS for name in setting.names}


class SettingsApi:
    """Answers from the configuration of the process and from what is set in the store."""

    def __init__(self, config: Config, tuning: Tuning, store: Store, keys: Keys) -> None:
        self._config, self._tuning, self._store, self._keys = config, tuning, store, keys

    def get(self, names: Iterable[str]) -> list[Any]:
        """Those named (none: all), as Setting messages; raises MeshError NOT_FOUND."""
        names = list(names) or [each.name for each in (*dynamic.ALL, *SETTINGS)]
        return [self._message(name) for name in names]

    async def set(self, name: str, text: str | None) -> Any:
        """Set one for all instances, or (None) no more; as it will be in force here. Raises MeshError, StoreAway."""
        known = dynamic.BY_NAME.get(name)
        if known is None:
            raise _not_dynamic(name)
        if text is not None:
            try:
                known.parsed(text.encode())
            except ValueError as wrong:
                raise MeshError(str(wrong), Code.INVALID_ARGUMENT) from None
        value = DELETE if text is None else text.strip().encode()
        try:
            await self._store.commit(Write(self._keys.config + name, ANY, value))
        except StoreError as error:
            raise StoreAway(str(error)) from error
        in_store = {name: text.strip()} if text is not None else {}
        return self._dynamic(known, in_store)

    def _message(self, name: str) -> Any:
        if name in dynamic.BY_NAME:
            return self._dynamic(dynamic.BY_NAME[name], self._tuning.in_force)
        if name in _STATIC:
            return self._static(_STATIC[name])
        raise MeshError(f"there is no setting {name!r}{_hint(name)}", Code.NOT_FOUND)

    def _dynamic(self, known: Dynamic, in_store: Mapping[str, str]) -> Any:
        message = wire.Setting(
            name=known.name, origin=DEFAULT, unit=known.unit, meaning=known.meaning, dynamic=True
        )  # fmt: skip
        if known.variable:
            given = self._static(_STATIC[known.variable])
            message.value, message.origin, message.default_value = given.value, given.origin, given.default_value
        if known.name in in_store:
            message.value, message.origin = in_store[known.name], "store"
        return message

    def _static(self, setting: Setting) -> Any:
        config, origin = self._config, self._config.origins[setting.name]
        told = {DEFAULT: DEFAULT, DERIVED: DEFAULT, FILE: FILE, BUILD_FILE: FILE}
        return wire.Setting(
            name=setting.name, value=setting.masked(config.texts[setting.name]), default_value=setting.default or "",
            origin=told.get(origin, "environment"), unit=setting.unit, meaning=setting.meaning,
        )  # fmt: skip


def _not_dynamic(name: str) -> MeshError:
    if name not in _STATIC:
        return MeshError(f"there is no setting {name!r}{_hint(name)}", Code.NOT_FOUND)
    instead = next((each.name for each in dynamic.ALL if each.variable == _STATIC[name].name), "")
    text = f"{name} is set in the environment or the file of each instance, for as long as it runs"
    return MeshError(f"{text}; {instead} can be set for all" if instead else text, Code.FAILED_PRECONDITION)


def _hint(name: str) -> str:
    return nearest(name, (*dynamic.BY_NAME, *_STATIC))
