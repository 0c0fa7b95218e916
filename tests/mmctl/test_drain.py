"""The commands that take an instance out, and in again."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.meshd.mesh import Mesh, mesh
from tests.meshd.test_retry import Gated
from tests.mmctl.meshes import Ended, mmctl


def words(made: Mesh, *given: str) -> tuple[str, ...]:
    return *given, "--endpoint", f"127.0.0.1:{made[0].port}"


def run(made: Mesh, *given: str) -> Ended:
    return mmctl(*words(made, *given))


def test_what_the_commands_say() -> None:
    """Progress on stderr, the end on stdout where it is asked for; whoever is not there is code 3."""
    with mesh(2, runtime=Gated) as made:
        made.client.register("m")
        made.copy("m", 1)
        made[0].fake.is_open = False  # nowhere to go for the copy until the drain has been seen
        assert run(made, "cordon", "i1").code == 0
        told = json.loads(run(made, "uncordon", "i1", "-o", "json").out)
        assert (told["instance"], told["text"], told["done"]) == ("i1", "i1 takes loads", True)
        assert run(made, "uncordon", "i1", "-o", "name").out == "i1\n"
        unknown = run(made, "drain", "i7")
        assert (unknown.code, "known: i0, i1" in unknown.err) == (3, True)
        begun = run(made, "drain", "i1", "--no-wait", "--budget", "60s")
        assert (begun.code, "i1 drains" in begun.err) == (0, True)
        command = [sys.executable, "-m", "mmctl", *words(made, "drain", "i1", "-o", "json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as joined:
            assert joined.stdout is not None
            assert joined.stderr is not None
            assert any("i1 draining: " in line for line in joined.stderr)
            made[0].fake.is_open = True
            told = json.loads(joined.stdout.read())
        assert (told["models"], told["done"]) == (1, True)
