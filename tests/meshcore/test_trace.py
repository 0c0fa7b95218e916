"""What a trace says survives being written and read, and what is not a whole trace is named with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshcore.trace import (
    KINDS,
    MOST_BYTES,
    MOST_CHARACTERS,
    MOST_LINE,
    MOST_MS,
    BadTrace,
    End,
    Event,
    Header,
    Model,
    is_sampled,
    read,
    text,
)

HEADER = b'{"trace":1,"unit":"ms"}\n'
MODEL = b'{"model":"a","size_bytes":5}\n'
EVENT = b'{"t":7.5,"m":"a"}\n'
END = b'{"end":1,"t":8}\n'
WHOLE = [HEADER, MODEL, EVENT, END]

names = st.text(min_size=1, max_size=20)
millis = st.floats(min_value=0, max_value=MOST_MS)
maybe_millis = st.none() | millis
sizes = st.none() | st.integers(min_value=1, max_value=MOST_BYTES)
models = st.lists(
    st.builds(Model, names, st.just("") | names, sizes, maybe_millis, maybe_millis),
    min_size=1,
    max_size=3,
    unique_by=lambda model: model.id,
)


@st.composite
def traces(draw: st.DrawFn) -> list[Header | Model | Event]:
    catalogue = draw(models)
    ids = st.sampled_from([model.id for model in catalogue])
    instants = sorted(draw(st.lists(millis, max_size=8)))
    others = st.tuples(
        ids,
        st.sampled_from(KINDS),
        st.just("") | names,
        st.just("") | names,
        maybe_millis,
        maybe_millis,
        maybe_millis,
        sizes,
    )
    start_ms = draw(st.none() | st.integers(min_value=0, max_value=2**40))
    part = draw(st.floats(min_value=0, max_value=1, exclude_min=True))
    return [Header(start_ms, draw(st.just("") | names), part), *catalogue, *(Event(t, *draw(others)) for t in instants)]


@settings(max_examples=30)
@given(traces(), millis)
def test_what_is_written_is_what_is_read(lines: list[Header | Model | Event], more_ms: float) -> None:
    events = [line for line in lines if isinstance(line, Event)]
    end = End(len(events), max([event.t_ms for event in events] + [more_ms]))
    written = [text(line).encode() for line in [*lines, end]]
    assert list(read(written)) == [*lines, end]
    assert list(read(written, is_part_enough=True)) == [*lines, end]


@settings(max_examples=30)
@given(traces(), st.data())
def test_a_trace_without_its_end_is_never_taken_for_whole(
    lines: list[Header | Model | Event], data: st.DataObject
) -> None:
    count = sum(isinstance(line, Event) for line in lines)
    whole = "".join(text(line) for line in [*lines, End(count, MOST_MS)]).encode()
    cut = whole[: data.draw(st.integers(min_value=0, max_value=len(whole) - 1))]
    with pytest.raises(BadTrace):
        list(read(cut.splitlines(keepends=True)))


def test_a_line_is_short_and_can_be_read_by_people() -> None:
    assert text(Event(1.5, "a")) == '{"t":1.5,"m":"a"}\n'
    assert text(Event(2, "a", "load", "i0", ms=30.0, size_bytes=9)) == (
        '{"t":2,"k":"load","m":"a","at":"i0","ms":30.0,"size":9}\n'
    )
    assert text(Model("a", "t")) == '{"model":"a","type":"t"}\n'
    assert text(Header(5, "me", 0.5)) == '{"trace":1,"unit":"ms","start_ms":5,"by":"me","sample":0.5}\n'
    assert text(End(3, 9.0)) == '{"end":3,"t":9.0}\n'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "line 1: the file is empty; a trace begins with a line that has trace"),
        ([b"\xff\n"], "line 1: byte 1 is not UTF-8; other formats are read by mmctl trace convert"),
        ([b"app,func\n"], "line 1: must be a JSON object; other formats are read by mmctl trace convert"),
        ([b"[" * 60000 + b"\n"], "line 1: must be a JSON object"),
        ([b'{"v":1}\n'], "line 1: the first line of a trace must have trace"),
        ([b'{"trace":2,"unit":"ms"}\n'], "line 1: trace: the version must be 1"),
        ([b'{"trace":1}\n'], "line 1: unit: must be ms"),
        ([b'{"trace":1,"unit":"ms","sample":0}\n'], "line 1: sample: 0 must be more than 0, up to 1"),
        ([b'{"trace":1,"unit":"ms","start_ms":-1}\n'], "line 1: start_ms: -1 must be a whole number from 0 to"),
        ([b'{"trace":1,"unit":"ms","by":1}\n'], "line 1: by: 1 must be text"),
        ([b"x" * MOST_LINE], "line 1: the line is longer than 65536 bytes"),
        ([HEADER], "line 1: the trace is cut: its last line must be the one with end"),
        ([HEADER, MODEL, EVENT], "line 3: the trace is cut"),
        ([HEADER, MODEL, EVENT, END[:-1]], "line 4: the line is cut: it does not end"),
        ([HEADER, MODEL, EVENT, b"\xc3(\n"], "line 4: byte 1 is not UTF-8"),
        ([HEADER, MODEL, EVENT, b"[]\n"], "line 4: must be a JSON object"),
        ([HEADER, MODEL, EVENT, b'{"t":NaN,"m":"a"}\n'], "line 4: must be a JSON object"),
        ([HEADER, MODEL, EVENT, b'{"t":1e999,"m":"a"}\n'], "line 4: t: Infinity must be milliseconds from 0 to"),
        ([HEADER, MODEL, b'{"t":-1,"m":"a"}\n'], f"line 3: t: -1 must be milliseconds from 0 to {MOST_MS}"),
        ([HEADER, MODEL, b'{"t":true,"m":"a"}\n'], "line 3: t: true must be milliseconds"),
        ([HEADER, MODEL, b'{"t":1}\n'], "line 3: m: is missing; it must be text of 1 to 1024 characters"),
        ([HEADER, MODEL, b'{"t":1,"m":""}\n'], 'line 3: m: "" must be text of 1 to 1024 characters'),
        ([HEADER, MODEL, b'{"t":1,"m":"b"}\n'], "line 3: m: 'b' must be a model that has a line before this one"),
        ([HEADER, MODEL, b'{"t":1,"m":"a","k":"x"}\n'], 'k: "x" must be request or load or register or unregister'),
        ([HEADER, MODEL, b'{"t":1,"m":"a","k":[]}\n'], "k: [] must be request or load or register or unregister"),
        ([HEADER, MODEL, b'{"t":1,"m":"a","siz":1}\n'], "line 3: siz: unknown key, did you mean size; allowed: t,"),
        ([HEADER, MODEL, b'{"t":1,"m":"a","zzz":1}\n'], "line 3: zzz: unknown key; allowed: t, k, m,"),
        ([HEADER, MODEL, b'{"t":1,"m":"a","size":0}\n'], "line 3: size: 0 must be a whole number of bytes from 1 to"),
        ([HEADER, MODEL, b'{"t":1,"m":"a","ms":"%s"}\n' % (b"9" * 50)], f'ms: "{"9" * 39}… must be milliseconds'),
        ([HEADER, MODEL, EVENT, b'{"t":7,"m":"a"}\n'], "line 4: t: 7 must not be less than the one before, 7.5"),
        ([HEADER, b'{"model":"a","size_bytes":0}\n'], "line 2: size_bytes: 0 must be a whole number of bytes from 1"),
        ([HEADER, b'{"model":"a","load_ms":-2}\n'], "line 2: load_ms: -2 must be milliseconds"),
        ([HEADER, b'{"model":7}\n'], "line 2: model: 7 must be text of 1 to 1024 characters"),
        ([HEADER, MODEL, MODEL], "line 3: model: 'a' must not have two lines"),
        ([HEADER, MODEL, b"{}\n"], "line 3: must have model, t or end; it has nothing"),
        ([HEADER, MODEL, b'{"x":1}\n'], "line 3: must have model, t or end; it has x"),
        ([HEADER, MODEL, EVENT, b'{"end":2,"t":8}\n'], "line 4: end: 2 must be the number of events before it, 1"),
        (
            [HEADER, MODEL, b'{"t":1700000.5,"m":"a"}\n', b'{"t":1700000.25,"m":"a"}\n'],
            "line 4: t: 1700000.25 must not be less than the one before, 1700000.5",
        ),
        ([HEADER, MODEL, b'{"x\\ny":1}\n'], "line 3: must have model, t or end; it has x y"),
        ([HEADER, MODEL, EVENT, b'{"end":1,"t":7}\n'], "line 4: t: 7 must not be less than the one before, 7.5"),
        ([HEADER, MODEL, EVENT, b'{"end":1}\n'], "line 4: t: is missing"),
        ([HEADER, MODEL, EVENT, b'{"end":1,"t":8,"early":"full"}\n'], "line 4: the trace is not whole, it ends early"),
        ([*WHOLE, EVENT], "line 5: nothing may follow the line that ends the trace"),
    ],
)  # fmt: skip
def test_what_is_no_whole_trace_is_named_with_its_line(lines: list[bytes], said: str) -> None:
    with pytest.raises(BadTrace) as caught:
        list(read(lines))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("last", "early"),
    [
        ([], "the file is cut"),
        ([EVENT[:9]], "the file is cut"),
        ([b'{"end":1,"t":9,"early":"full"}\n'], "full"),
    ],
)
def test_of_a_trace_that_ends_early_there_is_a_part_for_who_asks_for_it(last: list[bytes], early: str) -> None:
    *_, event, end = read([HEADER, MODEL, EVENT, *last], is_part_enough=True)
    assert event == Event(7.5, "a")
    assert isinstance(end, End)
    assert (end.count, end.early) == (1, early)


def test_not_even_a_part_may_have_mistakes() -> None:
    for lines in ([], [HEADER[:-1]], [HEADER, MODEL, b"x\n"], [HEADER, MODEL, b"x" * MOST_LINE]):
        with pytest.raises(BadTrace):
            list(read(lines, is_part_enough=True))


def test_a_sample_has_the_same_models_for_everybody_and_grows_with_its_part() -> None:
    ids = [f"m{number}" for number in range(2000)]
    tenth, half = ([model for model in ids if is_sampled(model, part)] for part in (0.1, 0.5))
    assert set(tenth) <= set(half)
    assert 150 < len(tenth) < 250 < 900 < len(half) < 1100
    assert all(is_sampled(model, 1) for model in ids)
    assert is_sampled("\udcff", 0.999999) in (True, False)


def test_names_as_long_as_may_be_fit_into_a_line() -> None:
    longest = "\U0001f600" * MOST_CHARACTERS
    line = text(Event(1.0, longest, "load", longest, longest, 1e9, 1e9, 1e9, MOST_BYTES))
    assert json.loads(line)["m"] == longest
    assert len(line) < MOST_LINE
