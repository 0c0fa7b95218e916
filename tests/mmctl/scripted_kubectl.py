"""Stands in for kubectl: replays an API server's answers, one look after the other, and keeps all calls.

The script is a JSON file that $KUBECTL_SCRIPT names: ``stages`` are lists of looks by name; each `get deployment` takes
the next look of the present stage, the last one stays. ``turns`` says which stage a call that changes something leads
to. A look is {"deployment": …, "listed": …}, or {"error": text on stderr}, which may come after ``hangs_s``.
``refused`` are errors by the first words of a call. It imports little: it is started very often.
"""

from __future__ import annotations

import json
import os
import sys
import time

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
    file = os.environ["KUBECTL_SCRIPT"]
    with open(file, encoding="utf-8") as text:
        script = json.load(text)
    call = bare(arguments)
    with open(f"{file}.calls", "a", encoding="utf-8") as calls:
        calls.write(json.dumps({"arguments": arguments, "call": call}) + "\n")
    said = " ".join(call)
    for words, error in script.get("refused", {}).items():
        if said.startswith(words):
            return failed(error)
    if call[:2] == ["config", "current-context"]:
        print("production")
        return 0
    if call[0] in CHANGES and "--dry-run=server" not in call:
        stand(file, script["turns"][" ".join(call[:2]) if call[0] == "rollout" else call[0]], -1)
        print(f"deployment.apps/model-mesh {call[1]}")
        return 0
    if call[0] in CHANGES:
        print(json.dumps(script["coming"]))
        return 0
    stage, number = standing(file)
    looks = script["stages"][stage]
    if call[:2] == ["get", "deployment"]:
        number = min(number + 1, len(looks) - 1)
        stand(file, stage, number)
    look = looks[max(number, 0)]
    time.sleep(look.get("hangs_s", 0))
    if "error" in look:
        return failed(look["error"])
    print(json.dumps(look["deployment" if call[:2] == ["get", "deployment"] else "listed"]))
    return 0


def standing(file: str) -> tuple[str, int]:
    """The stage and the number of its look that was told last."""
    if not os.path.exists(f"{file}.at"):
        return "start", -1
    with open(f"{file}.at", encoding="utf-8") as text:
        stage, number = json.load(text)
    return stage, number


def stand(file: str, stage: str, number: int) -> None:
    with open(f"{file}.at", "w", encoding="utf-8") as text:
        json.dump([stage, number], text)


def failed(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
