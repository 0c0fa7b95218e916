"""Stands in for kubectl: replays an API server's answers, one look after the other, and keeps all calls.

The script is a JSON file that $KUBECTL_SCRIPT names: ``stages`` are lists of looks by name; each `get deployment` takes the
next look of the present stage, the last one stays. ``turns`` says which stage a call that changes something leads to.
A look is {"deployment": …, "listed": …}, or {"error": text on stderr}. ``refused`` are errors by the first words of a call.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

GLOBAL = ("--context", "--namespace", "--request-timeout")
CHANGES = ("set", "apply", "rollout")


def bare(arguments: list[str]) -> list[str]:
    """The call without the flags that every call has."""
    left, skips = [], False
    for argument in arguments:
        if skips or argument.split("=")[0] in GLOBAL:
            skips = not skips and "=" not in argument
        else:
            left.append(argument)
    return left


def main(arguments: list[str]) -> int:
    file = Path(os.environ["KUBECTL_SCRIPT"])
    script: dict[str, Any] = json.loads(file.read_text("utf-8"))
    call = bare(arguments)
    with file.with_suffix(".calls").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps({"arguments": arguments, "call": call}) + "\n")
    said = " ".join(call)
    for words, error in script.get("refused", {}).items():
        if said.startswith(words):
            return failed(error)
    at = json.loads(file.with_suffix(".at").read_text("utf-8")) if file.with_suffix(".at").exists() else ["start", -1]
    if call[:2] == ["config", "current-context"]:
        print(script.get("context", "production"))
        return 0
    if call[0] in CHANGES and "--dry-run=server" not in call:
        stage = script["turns"][" ".join(call[:2]) if call[0] == "rollout" else call[0]]
        file.with_suffix(".at").write_text(json.dumps([stage, -1]), "utf-8")
        print(f"deployment.apps/model-mesh {call[1]}")
        return 0
    if call[0] in CHANGES:
        print(json.dumps(script["coming"]))
        return 0
    stage, number = at
    looks = script["stages"][stage]
    if call[:2] == ["get", "deployment"]:
        number = min(number + 1, len(looks) - 1)
        file.with_suffix(".at").write_text(json.dumps([stage, number]), "utf-8")
    look = looks[max(number, 0)]
    if "hangs_s" in look:
        time.sleep(look["hangs_s"])
    if "error" in look:
        return failed(look["error"])
    print(json.dumps(look["deployment" if call[:2] == ["get", "deployment"] else "listed"]))
    return 0


def failed(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
