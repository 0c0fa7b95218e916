"""Each importer on a small sample of its format, and on what is no such sample."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sim.problems import TraceError
from sim.traces import REGISTRY, order
from sim.traces.convert import convert
from sim.traces.files import read_trace
from sim.traces.order import by_time
from sim.traces.rows import Options, Row
from tests.omitted import omit
from tests.sim.trace_files import lines

NEVER = 2**63 - 1
NUMBERED = {"model": "1", "time": "2", "size": "3", "service": "4"}
AZURE = "app,func,end_timestamp,duration\n"


def imported(path: Path, kind: str, *, sort: bool = False, **options: Any) -> list[dict[str, Any]]:
    """The lines of what a file becomes, but the first and the last."""
    out = path.with_name("out.jsonl")
    count = convert(path, out, REGISTRY[kind], Options(**options), sort=sort)
    head, *found, end = lines(out)
    assert (head["trace"], end["end"], len(list(read_trace(out)))) == (1, count, len(found) + 2)
    return found


def given(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "in"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_azure_2021_arrives_at_the_end_less_the_duration_in_order(tmp_path: Path) -> None:
    path = given(tmp_path, AZURE + "x,f,10.5,0.5\nx,g,11,10\ny,f,12,1.25\n")
    assert imported(path, "azure2021") == [
        {"model": "x/g"},
        {"t": 0.0, "m": "x/g", "s": 10000.0},
        {"model": "x/f"},
        {"t": 9000.0, "m": "x/f", "s": 500.0},
        {"model": "y/f"},
        {"t": 9750.0, "m": "y/f", "s": 1250.0},
    ]


def test_oracle_general_is_read_as_another_program_writes_it(tmp_path: Path) -> None:
    records = [(100, 2**63 + 7, 4096, 2), (100, 5, 2**32 - 1, NEVER), (103, 2**63 + 7, 4096, -1)]
    path = given(tmp_path, b"".join(struct.pack("<IQIq", *record) for record in records))
    assert imported(path, "oracle-general") == [
        {"model": str(2**63 + 7), "size_bytes": 4096},
        {"t": 0.0, "m": str(2**63 + 7)},
        {"model": "5", "size_bytes": 2**32 - 1},
        {"t": 0.0, "m": "5"},
        {"t": 3000.0, "m": str(2**63 + 7)},
    ]


def test_compressed_files_of_others_are_read_too(tmp_path: Path) -> None:
    try:
        import zstandard
    except ImportError:
        omit("the package zstandard")
    rng = Random(1)
    records = [(at, rng.randrange(50), 1 + rng.randrange(9), -1) for at in range(5_000)]
    plain = b"".join(struct.pack("<IQIq", *record) for record in records)
    found = imported(given(tmp_path, zstandard.ZstdCompressor().compress(plain)), "oracle-general")
    events = [(line["t"] / 1000, int(line["m"])) for line in found if "t" in line]
    assert events == [record[:2] for record in records]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("time,model,size,service\n5,a,7,0.5\n6.5,b,8,0\n", {}),
        ("at,x,who,n,took\n5,-,a,7,0.5\n6.5,-,b,8,0\n",
         {"columns": {"time": "at", "model": "who", "size": "n", "service": "took"}}),
        ("a;5;7;0.5\nb;6.5;8;0\n", {"columns": NUMBERED, "delimiter": ";"}),
        ("h,h,h,h\na,5,7,0.5\nb,6.5,8,0\n", {"columns": NUMBERED, "has_header": True}),
        ("time,model,size,service\r\n5000,a,7,500\r\n\r\n6500,b,8,0\r\n", {"time_unit": "ms"}),
        ("\ufefftime,model,size,service\n5000000,a,7,500000\n6500000,b,8,0\n", {"time_unit": "us"}),
        ('time,model,size,service\n5e9,"a",7,5e8\n65e8,b,8,0\n', {"time_unit": "ns"}),
    ],
)  # fmt: skip
def test_any_table_will_do(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    assert imported(given(tmp_path, text), "csv", **options) == [
        {"model": "a", "size_bytes": 7},
        {"t": 0.0, "m": "a", "s": 500.0},
        {"model": "b", "size_bytes": 8},
        {"t": 1500.0, "m": "b", "s": 0.0},
    ]


def test_a_table_may_have_times_and_models_alone(tmp_path: Path) -> None:
    assert imported(given(tmp_path, "model,time\na,1\n"), "csv") == [{"model": "a"}, {"t": 0.0, "m": "a"}]


def test_libcachesims_tables_are_described_as_it_does(tmp_path: Path) -> None:
    path = given(tmp_path, "1,9,R,512,a b\n1,11,W,512,c\n")
    found = imported(path, "lcs-csv", columns={"time-col": "2", "obj-id-col": "5", "obj-size-col": "4"})
    assert found == [
        {"model": "a b", "size_bytes": 512},
        {"t": 0.0, "m": "a b"},
        {"model": "c", "size_bytes": 512},
        {"t": 2000.0, "m": "c"},
    ]


def test_a_table_that_is_out_of_order_can_be_put_in_order(tmp_path: Path) -> None:
    path = given(tmp_path, "time,model\n5,a\n4,b\n4,c\n")
    with pytest.raises(
        TraceError, match=r"in: line 3: time: 4 s must not be less than the one before, 5 s; --sort puts"
    ):
        imported(path, "csv")
    assert [line["m"] for line in imported(path, "csv", sort=True) if "t" in line] == ["b", "c", "a"]


def test_many_rows_are_sorted_in_pieces_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "PIECE_ROWS", 97)
    monkeypatch.setattr(order, "READ_ROWS", 5)
    rng = Random(3)
    rows = [
        Row(n, float(rng.randrange(-50, 500)), f"m{rng.randrange(9)}", rng.choice([None, 5]), rng.choice([None, 0.0]))
        for n in range(1000)
    ]
    assert list(by_time(iter(rows), tmp_path)) == sorted(rows, key=lambda row: row.at_ms)


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("azure2021", "", "line 1: the file is empty"),
        ("azure2021", "a,b\n", "line 1: must name the columns app,func,end_timestamp,duration, not a,b"),
        ("azure2021", AZURE, "there are no requests in it"),
        ("azure2021", AZURE + "a,b,1\n", "line 2: must have the columns app,func,end_timestamp,duration; it has 3"),
        ("azure2021", AZURE + "a,b,1,-1\n", "line 2: duration: '-1' must be a number of at least 0"),
        ("azure2021", AZURE + "a,b,x,1\n", "line 2: end_timestamp: 'x' must be a number of at least 0"),
        ("azure2021", AZURE + "a,b,nan,1\n", "line 2: end_timestamp: 'nan' must be a number of at least 0"),
        ("azure2021", AZURE + "a,b,1,1\nc,d,9e9,1\n", "line 3: time: must be within 316224000000 ms of the first"),
        ("azure2021", AZURE + "a,b,9e9,8e9\n", "line 2: duration: 8e+09 s must be at most 316224000"),
        ("azure2021", AZURE.encode() + b"a,\xff,1,1\n", "line 2: byte 3 is not UTF-8"),
        ("azure2021", AZURE + "x" * 70000, "line 2: the line is longer than 65536 bytes"),
        ("azure2021", AZURE + 'a,"b\n', "line 2: cannot be read as a table: unexpected end of data"),
        ("csv", "\n\n", "line 1: the file is empty"),
        ("csv", "time,model\n1e308,a\n", "line 2: time: must be within 316224000000 ms of the first"),
        ("csv", "time,model\n1609459200.5,a\n1609459200.1,a\n", "line 3: time: 1609459200.1 s must not be less than "
         "the one before, 1609459200.5 s"),
        ("csv", '"ti\nme",model\n', "the columns are ti me, model"),
        ("azure2021", AZURE + "a,b,1e308,1\n", "line 2: time: must be within 316224000000 ms of the first"),
        ("csv", "time,name\n1,a\n", "line 1: --columns model=model must be a column's number from 1, or its name; "
         "the columns are time, name"),
        ("csv", "time,model,size\n1,a\n", "line 2: must have 3 columns at least; it has 2"),
        ("csv", "time,model,size\n1,a,0\n", "line 2: size: '0' must be a whole number of at least 1"),
        ("csv", "time,model,size\n1,a,1.5\n", "line 2: size: '1.5' must be a whole number of at least 1"),
        ("csv", "time,model,size\n1,a,9999999999999999999\n", "line 2: size: 9999999999999999999 must be at most"),
        ("csv", "time,model\n-1,a\n", "line 2: time: '-1' must be a number of at least 0"),
        ("csv", "time,model\n1,\n", "line 2: model: must be text of 1 to 1024 characters"),
        ("csv", "", "line 1: the file is empty"),
        ("lcs-csv", "1,2\n", "--columns must have time-col, as in time-col=1,obj-id-col=2,obj-size-col=3"),
        ("oracle-general", b"", "record 1: the file is empty"),
        ("oracle-general", b"x" * 23, "record 1 (byte 0): the file is cut: a record has 24 bytes, the last has 23"),
        ("oracle-general", struct.pack("<IQIq", 1, 2, 3, -1) + b"y", "record 2 (byte 24): the file is cut"),
        ("oracle-general", struct.pack("<IQIq", 1, 2, 0, -1), "record 1 (byte 0): obj_size: 0 must be at least 1"),
        ("oracle-general", struct.pack("<IQIq", 1, 2, 3, 0), "record 1 (byte 0): next_access_vtime: 0 must be"),
        ("oracle-general", struct.pack("<IQIqIQIq", 9, 2, 3, -1, 8, 2, 3, -1), "record 2: time: 8 s must not be less"),
        ("oracle-general", b"app,func,end_timestamp,duration\nx,f,10.5,0.50\n", "is this oracleGeneral?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_nothing_is_written(
    tmp_path: Path, kind: str, content: str | bytes, said: str
) -> None:
    path = given(tmp_path, content)
    with pytest.raises(TraceError) as caught:
        imported(path, kind)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert said in problem
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


def test_columns_of_no_such_name_are_refused(tmp_path: Path) -> None:
    for kind, said in (("csv", "time, model, size, service"), ("lcs-csv", "time-col, obj-id-col, obj-size-col")):
        with pytest.raises(TraceError, match=f"--columns tim: must be one of {said}"):
            imported(given(tmp_path, "1,2\n"), kind, columns={"tim": "1"})


def test_a_column_without_a_name_is_none_that_was_asked_for(tmp_path: Path) -> None:
    columns = {"time-col": "2", "obj-id-col": "3"}
    path = given(tmp_path, ",when,what\n0,1,a\n1,2,b\n")
    rows = list(REGISTRY["lcs-csv"].read(path, Options(columns, has_header=True)))
    assert [(row.at_ms, row.model, row.service_ms) for row in rows] == [(1000, "a", None), (2000, "b", None)]


@pytest.mark.parametrize("place", ["\u00b2", "9" * 5000])
def test_a_column_of_no_number_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(TraceError, match="must be a column's number from 1, or its name"):
        imported(given(tmp_path, "1,2\n"), "lcs-csv", columns={"time-col": place, "obj-id-col": "2"})
