"""The import rule of docs/design.md, layout: who may import whom, and what a module may be."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 400
BANNED_NAMES = {"utils", "helpers", "manager", "common"}
GENERATED = ("_pb2.py", "_pb2_grpc.py")

GRPC = {"grpc", "grpc_health", "grpc_reflection"}
ALLOWED = {
    "meshcore": set[str](),
    "protos": {"google", "grpc", "grpc_tools"},
    "meshd": {
        "meshcore",
        "protos",
        *GRPC,
        "google",
        "aiohttp",
        "prometheus_client",
        "cryptography",
        "yaml",
        "zstandard",
    },
    "sim": {"meshcore", "simpy", "yaml", "pydantic", "numpy", "plotly", "zstandard"},
    "mmctl": {
        "meshcore",
        "protos",
        "sim",
        "meshd.store",
        *GRPC,
        "aiohttp",
        "google",
        "cryptography",
        "typer",
        "rich",
        "yaml",
        "zstandard",
    },
    "runtimes": {"protos", *GRPC, "google", "numpy", "onnxruntime"},
    "demo": {
        "protos",
        "sim",
        "runtimes",
        "grpc",
        "aiohttp",
        "numpy",
        "rich",
        "onnxruntime",
        "skl2onnx",
        "sklearn",
        "threadpoolctl",
    },
}
"""What each package may import besides the standard library and itself; a dotted name allows what is below it."""

IMPURE = {
    "asyncio", "concurrent", "ctypes", "datetime", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue",
    "secrets", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib", "uuid", "warnings",
}  # fmt: skip
"""What would give the rules a clock, an input or an output of their own."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: ``name`` of ``module``, or the module itself; ``is_typing`` where only types need it."""

    module: str
    name: str
    line: int
    level: int
    is_typing: bool

    def is_below(self, dotted: str) -> bool:
        return f"{self.module}.{self.name}.".startswith(f"{dotted}.")


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    path: Path
    name: str
    tree: ast.Module
    imports: tuple[Import, ...]

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


def read(path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    dotted = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    return Module(path, dotted, tree, tuple(imports_of(tree)))


@cache
def modules(package: str) -> tuple[Module, ...]:
    return tuple(read(path) for path in sorted((ROOT / package).rglob("*.py")))


def written(package: str) -> list[Module]:
    return [module for module in modules(package) if not module.path.name.endswith(GENERATED)]


def imports_of(node: ast.AST, is_typing: bool = False) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, "", node.lineno, 0, is_typing)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Import(node.module or "", alias.name, node.lineno, node.level, is_typing)
    is_guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    for child in ast.iter_child_nodes(node):
        yield from imports_of(child, is_typing or is_guard)


def test_there_is_source_in_every_package() -> None:
    assert [package for package in ALLOWED if not modules(package)] == []


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_it_may(package: str) -> None:
    allowed = ALLOWED[package] | {package}
    wrong = [
        f"{module.at(each.line)}: {each.module} {each.name}"
        for module in modules(package)
        for each in module.imports
        if each.module.partition(".")[0] not in sys.stdlib_module_names
        and not any(each.is_below(dotted) for dotted in allowed)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_are_absolute(package: str) -> None:
    assert [module.at(each.line) for module in modules(package) for each in module.imports if each.level] == []


@pytest.mark.parametrize("package", [*ALLOWED, "tests"])
def test_no_module_is_two(package: str) -> None:
    lengths = {module.at(1): module.path.read_bytes().count(b"\n") for module in written(package)}
    assert {where: lines for where, lines in lengths.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("package", [*ALLOWED, "tests"])
def test_modules_are_named_after_what_they_do(package: str) -> None:
    assert [str(path) for path in (ROOT / package).rglob("*.py") if path.stem in BANNED_NAMES] == []


@pytest.mark.parametrize("package", ALLOWED)
def test_every_module_says_what_it_is(package: str) -> None:
    assert [module.at(1) for module in written(package) if not ast.get_docstring(module.tree)] == []


def test_rules_import_nothing_impure() -> None:
    wrong = [
        f"{module.at(each.line)}: {each.module}"
        for module in modules("meshcore")
        for each in module.imports
        if each.module.partition(".")[0] in IMPURE
    ]
    assert wrong == []


def test_rules_draw_from_a_generator_they_are_given() -> None:
    """A generator of the module would be shared, and its draws depend on who else draws."""
    wrong = [
        module.at(each.line)
        for module in modules("meshcore")
        for each in module.imports
        if each.module.partition(".")[0] == "random" and (each.module, each.name) != ("random", "Random")
    ]
    assert wrong == []


def test_rules_wait_for_nothing_and_talk_to_nobody() -> None:
    asynchronous = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    talkative = {"open", "print", "input", "exec", "eval", "breakpoint"}
    wrong = [
        f"{module.at(node.lineno)}: {ast.unparse(node)[:60]}"
        for module in modules("meshcore")
        for node in ast.walk(module.tree)
        if isinstance(node, asynchronous) or (isinstance(node, ast.Name) and node.id in talkative)
    ]
    assert wrong == []


def test_rules_keep_nothing_that_changes_between_nodes() -> None:
    """A ``global`` statement is how a module changes its own names."""
    wrong = [
        module.at(node.lineno)
        for module in modules("meshcore")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]
    assert wrong == []


def test_rules_have_no_import_cycles() -> None:
    names = {module.name for module in modules("meshcore")}
    graph = {
        module.name: {
            needed
            for each in module.imports
            if not each.is_typing
            for needed in (each.module, f"{each.module}.{each.name}")
            if needed in names
        }
        for module in modules("meshcore")
    }
    cycle: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = error.args[1]
    assert cycle == []
