"""The pages say what the code says, and their links lead somewhere."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy
import onnxruntime
import pytest

from meshcore.reasons import Rejected, Rule
from mmctl import errors
from tests.pages import anchors, commands, unknown_commands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_rule_and_every_rejection_is_explained_and_nothing_else() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [*Rule, *Rejected]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_sections_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]*)#([^)]*)\)", text)
    assert [
        (file, section)
        for file, section in links
        if section not in anchors((page.parent / file).read_text(encoding="utf-8") if file else text)
    ] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "decisions.md"], ids=lambda page: page.name)
def test_commands_on_pages_are_there_with_their_options(page: Path) -> None:
    assert unknown_commands(page.read_text(encoding="utf-8")) == []


def test_every_command_stands_in_the_table_and_no_other() -> None:
    """With what it does (docs/mmctl.md, commands)."""
    page = (ROOT / "docs" / "mmctl.md").read_text(encoding="utf-8")
    rows = page.partition("\n## Commands\n")[2].partition("\n## ")[0].splitlines()
    cells = [row.split(" | ")[0] for row in rows if row.startswith("| `")]
    told = {
        " ".join(itertools.takewhile(re.compile("[a-z]+$").match, command.split()))
        for cell in cells
        for command in re.findall(r"`([a-z][^`]*)`", cell)
    }
    assert told == set(commands())


def test_exit_codes_are_those_of_the_errors() -> None:
    page = (ROOT / "docs" / "mmctl.md").read_text(encoding="utf-8")
    rows = page.partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    told = [int(code) for code in re.findall(r"^\| ([0-9]+) \|", rows, re.MULTILINE)]
    kinds = (errors.Failed, errors.Usage, errors.NotFound, errors.Unavailable, errors.Interrupted)
    assert told == [0, *(kind.exit_code for kind in kinds)]


def test_a_command_that_is_not_there_is_noticed() -> None:
    text = "`mmctl shutdown`, `mmctl list --tpye x`\n\n    mmctl vmodel put x\n"
    assert [wrong.partition(": ")[2] for wrong in unknown_commands(text)] == [
        "there is no command shutdown", "list has no --tpye", "there is no command put",
    ]  # fmt: skip


def test_texts_that_clients_read_are_those_of_the_code() -> None:
    """Where the page says what to do about them (docs/operations.md, what clients see)."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = page.partition("\n### What clients see\n")[2].partition("\n### ")[0].splitlines()
    sources = "".join(
        path.read_text(encoding="utf-8") for name in ("meshcore", "meshd") for path in (ROOT / name).rglob("*.py")
    )
    told = [part.strip() for row in rows for text in re.findall(r"`([^`]+)`", row.split(" | ")[0])
            for part in re.split(r"…|<.*?>", text) if len(part.strip()) > 2]  # fmt: skip
    assert len(told) > 12
    assert [part for part in told if part not in sources] == []


def test_readme_makes_a_model_and_a_request_for_it(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"<!-- tested: first_model.py -->\n```python\n(.*?)```", page, re.DOTALL)
    subprocess.run([sys.executable, "-c", *code], cwd=tmp_path, check=True, timeout=120)
    (tensor,) = json.loads((tmp_path / "request.json").read_text())["inputs"]
    session = onnxruntime.InferenceSession(tmp_path / "models" / "digits" / "mlp.onnx")
    given = numpy.array(tensor["data"], dtype="float32").reshape(tensor["shape"])
    labels, _ = session.run(None, {tensor["name"]: given})
    assert labels == [0]


def test_sections_that_the_code_names_are_there() -> None:
    """A docstring gives its source as (docs/PAGE.md, section)."""
    missing = []
    for module in sorted(
        path for name in ("meshcore", "meshd", "sim", "mmctl") for path in (ROOT / name).rglob("*.py")
    ):
        for page, section in re.findall(r"\(docs/([a-z]+\.md), ([a-z -]+)", module.read_text(encoding="utf-8")):
            headings = re.findall(
                r"^#+ (.*)$", (ROOT / "docs" / page).read_text(encoding="utf-8").lower(), re.MULTILINE
            )
            if section.strip() not in headings:
                missing.append((module.name, page, section))
    assert missing == []
