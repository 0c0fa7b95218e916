"""Registrations from files: every form that is taken, and every mistake named with its place."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from mmctl.documents import MOST_ERRORS, parse_described, read_registrations
from mmctl.errors import Usage
from mmctl.values import Registration


def parse(text: str, source: str) -> list[Registration]:
    return list(parse_described(text, source).models.values())


A = Registration("a", "onnx", "a.onnx")
B = Registration("b", "onnx", "b.onnx", size_bytes=2**20)


JSON_A = '{"name": "a", "type": "onnx", "path": "a.onnx"}'
JSON_B = '{"name": "b", "type": "onnx", "path": "b.onnx", "size": "1MiB"}'
YAML_A = "name: a\ntype: onnx\npath: a.onnx\n"
YAML_B = "name: b\ntype: onnx\npath: b.onnx\nsize: 1MiB\n"
FLOW_B = "{name: b, type: onnx, path: b.onnx, size: 1048576}"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("m.yaml", f"{YAML_A}---\n{YAML_B}"),
        ("m.yml", f"- {{name: a, type: onnx, path: a.onnx}}\n- {FLOW_B}\n"),
        ("m.json", f"[{JSON_A}, {JSON_B}]"),
        ("m.jsonl", f"{JSON_A}\n{JSON_B}\n"),
        ("stdin", f"\ufeff{JSON_A}{JSON_B}"),
        ("stdin", f"{{name: a, type: onnx, path: a.onnx}}\n---\n{FLOW_B}"),
        ("models", f"---\n---\n{YAML_A}---\n- {FLOW_B}\n"),
    ],
    ids=["yaml documents", "yaml list", "json list", "json lines", "json one after the other", "flow yaml", "mixed"],
)
def test_documents_lists_and_lines_say_the_same(source: str, text: str) -> None:
    assert parse(text, source) == [A, B]


def test_every_field_is_taken() -> None:
    given = {"name": "n", "type": "t", "path": "p", "key": "k", "size": 5, "labels": {"team": "x"}, "load": True}
    kept = {"min": 2, "max": 4, "pin": True, "priority": 0}
    assert parse(json.dumps(given | kept), "x.json") == [
        Registration("n", "t", "p", "k", 5, {"team": "x"}, True, 2, 4, True, 0)
    ]


def test_names_may_hold_anything_that_is_text() -> None:
    (one,) = parse('{"name": "fraud/名前 \\n x", "type": "t"}', "x.json")
    assert one.name == "fraud/名前 \n x"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: a\ntype: t\npth: x\n", "document 1 (line 1): unknown field 'pth'; did you mean 'path'?"),
        ("id: a\ntype: t\n", "document 1 (line 1): unknown field 'id'; did you mean 'name'?"),
        ("name: a\ntype: t\nflavour: x\n", "unknown field 'flavour'; known: name, type, path, key, size, labels, load"),
        ("name: a\ntype: t\nmin: 3\nmax: 2\n", "document 1 (line 1): min copies are 3, more than max copies, 2"),
        ("name: a\ntype: t\npriority: 11\n", "document 1 (line 1): priority is 11; allowed: 0 to 9"),
        ("name: a\ntype: t\npriority: -1\n", "document 1 (line 1): priority is -1; allowed: 0 to 9"),
        ("name: a\ntype: t\nmax: -1\n", "document 1 (line 1): max copies are -1; allowed: 0 to 2147483647"),
        ("name: a\ntype: t\nmin: '2'\n", "field 'min' is a whole number, not the text '2'"),
        ("name: a\ntype: t\npin: 1\n", "field 'pin' is true or false, not the number 1"),
        ("name: a\ntype: t\nmin_copies: 1\n", "unknown field 'min_copies'; did you mean 'min'?"),
        ("name: a\n", "document 1 (line 1): field 'type' is missing or empty"),
        ("type: t\nname: ''\n", "document 1 (line 1): field 'name' is missing or empty"),
        ("name: 007\ntype: t\n", "field 'name' is text, not the number 7; put quotes around it"),
        ("name: yes\ntype: t\n", "field 'name' is text, not the truth value true; put quotes around it"),
        ("name: [a]\ntype: t\n", "field 'name' is text, not a list"),
        ("name: a\ntype: t\nsize: big\n", "field 'size': 'big' is not a size"),
        ("name: a\ntype: t\nsize: -1\n", "field 'size' is a size as 50MiB or a number of bytes, not the number -1"),
        ("name: a\ntype: t\nload: 'yes'\n", "field 'load' is true or false, not the text 'yes'"),
        ("name: a\ntype: t\nlabels: x\n", "field 'labels' is an object of texts, not the text 'x'"),
        ("name: a\ntype: t\nlabels: {x: 1}\n", "field 'labels.x' is text, not the number 1"),
        ("name: a\nname: b\ntype: t\n", "document 1: not YAML at line 1 column 1: field 'name' is there twice"),
        (
            "name: a\ntype: t\n---\njust text\n",
            "document 2 (line 4): a model is an object with name and type, not the text",
        ),
        (
            "- name: a\n  type: t\n- 5\n",
            "document 1, item 2 (line 3): a model is an object with name and type, not the",
        ),
        (
            "name: a\ntype: t\n---\nname: a\ntype: u\n",
            "document 2 (line 4): name 'a' was given before, in document 1 (line 1)",
        ),
        ("name: a\ntype: t\n---\nname: [\n", "document 2: not YAML at line"),
        ("", "no registrations in it"),
        ("---\n", "no registrations in it"),
    ],
)
def test_mistake_is_named_with_its_document_and_field(text: str, error: str) -> None:
    with pytest.raises(Usage) as raised:
        parse(text, "m.yaml")
    assert str(raised.value).startswith("m.yaml: ")
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"name": "a", "type": "t"}\n{"name": ', r"document 2 \(line 2\): not JSON at line 2 column 10"),
        ('{"name": "a", "name": "b", "type": "t"}', "document 1 .line 1.: field 'name' is there twice"),
        ('{"name": "\\ud800", "type": "t"}', "field 'name' holds half a character"),
    ],
)
def test_mistake_in_json_is_named_with_its_place(text: str, error: str) -> None:
    with pytest.raises(Usage, match=error):
        parse(text, "m.json")


def test_all_mistakes_are_told_at_once_and_nothing_is_returned() -> None:
    text = "\n---\n".join(f"name: m{number}\ntype: t\nkind: t" for number in range(MOST_ERRORS + 5))
    with pytest.raises(Usage) as raised:
        parse(text, "m.yaml")
    lines = str(raised.value).splitlines()
    assert len(lines) == MOST_ERRORS + 1
    assert lines[-1] == "5 more mistakes"


def test_all_mistakes_of_one_document_are_told() -> None:
    with pytest.raises(Usage) as raised:
        parse("name: ''\ntype: 3\nsize: big\nload: maybe\nkind: t", "m.yaml")
    assert [line.removeprefix("m.yaml: document 1 (line 1): ")[:16] for line in str(raised.value).splitlines()] == [
        "field 'type' is ",
        "field 'size': 'b",
        "field 'load' is ",
        "unknown field 'k",
        "field 'name' is ",
    ]


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"nowhere\.yaml: No such file"):
        read_registrations([str(tmp_path / "nowhere.yaml")])
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe4")
    with pytest.raises(Usage, match="not UTF-8"):
        read_registrations([str(tmp_path / "latin.yaml")])


def test_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("name: a\ntype: onnx\npath: a.onnx\n"))
    assert read_registrations(["-"]) == [A]


@pytest.mark.parametrize("source", ["m.json", "m.yaml"])
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"name": "a", "type": "t", "size": ' + "9" * 5_000 + "}", "Exceeds the limit"),
        ('{"name": "a", "type": "t", "labels": ' + "[" * 100_000, "too many things within each other|not YAML"),
        ('[{"name": "a", "type": "t"},', "not JSON at line 1|not YAML at line [12]"),
        ('{"name": "a", "type": "t"', "not JSON at line 1|not YAML at line [12]"),
        ("\0", "not JSON at line 1|not YAML: "),
    ],
    ids=["digits", "depth", "open list", "open object", "zero"],
)
def test_text_that_no_reader_takes_is_a_mistake_with_its_place(source: str, text: str, error: str) -> None:
    with pytest.raises(Usage, match=error):
        parse(text, source)


def test_date_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(Usage, match="document 1: day is out of range for month"):
        parse("name: 2026-02-30\ntype: t\n", "m.yaml")


def test_stdin_that_is_not_text_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name: \xe4"), encoding="utf-8"))
    with pytest.raises(Usage, match="stdin: not UTF-8"):
        read_registrations(["-"])
