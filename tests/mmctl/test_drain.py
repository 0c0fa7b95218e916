"""The commands that take an instance out, and in again."""

from __future__ import annotations

import json

from tests.meshd.mesh import Mesh, mesh
from tests.mmctl.meshes import Ended, mmctl


def run(made: Mesh, *words: str) -> Ended:
    return mmctl(*words, "--endpoint", f"127.0.0.1:{made[0].port}")


def test_what_the_commands_say() -> None:
    """Progress on stderr, the end on stdout where it is asked for; whoever is not there is code 3."""
    with mesh(2) as made:
        made.client.register("m")
        made.copy("m", 1)
        assert run(made, "cordon", "i1").code == 0
        told = json.loads(run(made, "uncordon", "i1", "-o", "json").out)
        assert (told["instance"], told["text"], told["done"]) == ("i1", "i1 takes loads", True)
        assert run(made, "uncordon", "i1", "-o", "name").out == "i1\n"
        unknown = run(made, "drain", "i7")
        assert (unknown.code, "known: i0, i1" in unknown.err) == (3, True)
        begun = run(made, "drain", "i1", "--no-wait", "--budget", "60s")
        assert (begun.code, "i1 drains" in begun.err) == (0, True)
        joined = run(made, "drain", "i1", "-o", "json")
        told = json.loads(joined.out)
        assert (told["models"], told["done"]) == (1, True)
        assert "i1 draining: " in joined.err
