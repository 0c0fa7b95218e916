"""Takes secrets out of what is given to others: those that are known, and whatever looks like one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
LEAST = 4
"""A known secret that is shorter is masked where it stands by name, not wherever its characters occur."""

_SECRET = (
    r"(?:passw(?:or)?d|passphrase|passcode|secret|token(?!s)|credential|signature|api_?key|access_?key|private_?key"
    r"|client_?key|account_?key|(?<![a-z])(?:pass|pwd|sas|sig)(?![a-z]))"
)
_NAMES_FILE = r"(?:_path|_file|_paths|_files|_name)"
NAME = re.compile(rf"(?i){_SECRET}")
_IS_FILE = re.compile(rf"(?i){_NAMES_FILE}$")

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_KEY_END = re.compile(r"\A(?:(?!-----BEGIN ).)*?-----END [A-Z0-9 ]*PRIVATE KEY-----", re.DOTALL)
"""Of a text that begins in the middle of a key."""
_USER_INFO = re.compile(
    r"(?<=://)[^\s/@\"']+(?=@)|(?<=[:,;\s\"'=])[^\s,;:/@\"'=]{1,256}:[^\s,;/@\"']{1,2048}(?=@[\w\[])"
)
"""With bounds, like the names below: else a long line of many colons takes the square of its length."""
_PAIR = re.compile(
    rf"(?i)(?P<name>(?<![\w.-])[\w.-]*?{_SECRET}(?!{_NAMES_FILE}\b)[\w.-]{{0,256}}?\\*[\"']?\s*(?::|=|%3D)\s*)"
    r"(?P<value>\\+\"(?:(?!\\+\").)*\\+\"|\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"'\\,;&}\]]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_CLOUD = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[opsu]_\w{20,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")


_NONE: Mapping[int, set[str]] = {}


def is_secret_name(name: str) -> bool:
    """Whether a variable or an attribute of this name holds a secret itself, not the file of one."""
    return bool(NAME.search(name)) and not _IS_FILE.search(name)


class Masker:
    """Masks what it was told, and what looks like a secret. ``shows_keys``: keys of models are not secret."""

    def __init__(self, shows_keys: bool = False) -> None:
        self.shows_keys = shows_keys
        self._known: dict[str, dict[int, set[str]]] = {}
        """Secrets by how they begin and how long they are: there may be one for each of many models, all alike."""

        self._begins: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """These are secrets wherever they turn up, as they are or inside a JSON text."""
        self._begins = None
        for secret in secrets:
            in_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
            for form in {secret, *secret.splitlines(), *in_json}:
                if len(form) >= LEAST and not form.startswith("-----"):
                    self._known.setdefault(form[:LEAST], {}).setdefault(len(form), set()).add(form)

    def learn_env(self, env: Mapping[str, str]) -> None:
        """Values of variables whose name says that they are secret."""
        self.learn(value for name, value in env.items() if is_secret_name(name))

    def learn_key(self, key: str) -> None:
        """The key of a model, and if it is JSON what stands under the name of a secret in it."""
        if self.shows_keys or not key:
            return
        self.learn([key])
        try:
            found = json.loads(key)
        except ValueError:
            return
        self.learn(_secrets_in(found))

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._known:
            text = self._without_known(text)
        text = _KEY_END.sub(MASK, _KEY_BLOCK.sub(MASK, text))
        text = _USER_INFO.sub(MASK, text)
        text = _PAIR.sub(lambda found: found["name"] + MASK, text)
        text = _BEARER.sub(lambda found: f"{found[1]} {MASK}", text)
        return _CLOUD.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """A value of JSON without secrets: by the names of attributes, and in every text."""
        match value:
            case dict():
                return {self.text(str(name)): self._attribute(str(name), each) for name, each in value.items()}
            case list() | tuple():
                return [self.value(each) for each in value]
            case str():
                return self.text(value)
            case _:
                return value

    def model(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """A model as its plain values: its key counts as a secret as a whole."""
        masked: dict[str, Any] = self.value({name: each for name, each in plain.items() if name != "key"})
        key = plain.get("key", "")
        return {**masked, "key": (key if self.shows_keys else MASK) if key else ""}

    def _without_known(self, text: str) -> str:
        """Goes through the text once, however many secrets there are."""
        if self._begins is None:
            columns = ("".join(map(re.escape, sorted(set(column)))) for column in zip(*self._known, strict=True))
            self._begins = re.compile("".join(f"[{column}]" for column in columns), re.DOTALL)
        parts, kept, at = [], 0, 0
        while found := self._begins.search(text, at):
            at = found.start()
            by_length = self._known.get(found[0], _NONE)
            longest = max((size for size, forms in by_length.items() if text[at : at + size] in forms), default=0)
            if longest:
                parts += [text[kept:at], MASK]
                kept = at + longest
            at += longest or 1
        return "".join([*parts, text[kept:]])

    def _attribute(self, name: str, value: Any) -> Any:
        return MASK if value and isinstance(value, str) and is_secret_name(name) else self.value(value)


def _secrets_in(value: Any) -> Iterable[str]:
    match value:
        case dict():
            for name, each in value.items():
                if isinstance(each, str) and is_secret_name(name):
                    yield each
                yield from _secrets_in(each)
        case list():
            for each in value:
                yield from _secrets_in(each)
