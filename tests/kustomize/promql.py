"""What an expression of Prometheus uses and gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser as promql

from tests.exposition import exported

TARGET = frozenset({"namespace", "job", "instance"})
"""Labels that whoever scrapes adds to every series."""

_RATED = {"rate", "increase", "irate"}
_KEEP = {"-", "+", "*", "/", "%", "==", "!=", ">", "<", ">=", "<=", "and", "unless"}


@dataclass(frozen=True)
class Selected:
    """Series that an expression takes: ``matchers`` are label, operator, value; ``is_rated``: it looks at growth."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    is_rated: bool


def parsed(text: str) -> promql.Expr:
    return promql.parse(text)


def selected(expression: promql.Expr, is_rated: bool = False) -> Iterator[Selected]:
    """All that it takes, however deep."""
    match expression:
        case promql.VectorSelector():
            matchers = (
                (each.name, str(each.op).rpartition(".")[2], each.value) for each in expression.matchers.matchers
            )
            yield Selected(expression.name or "", tuple(matchers), is_rated)
        case promql.MatrixSelector():
            yield from selected(expression.vector_selector, is_rated)
        case promql.Call():
            for argument in expression.args:
                yield from selected(argument, is_rated or expression.func.name in _RATED)
        case promql.BinaryExpr():
            yield from selected(expression.lhs, is_rated)
            yield from selected(expression.rhs, is_rated)
        case promql.AggregateExpr() | promql.ParenExpr():
            yield from selected(expression.expr, is_rated)


def named(expression: promql.Expr) -> Iterator[str]:
    """Labels that it groups or matches by."""
    match expression:
        case promql.AggregateExpr():
            yield from expression.modifier.labels if expression.modifier else ()
            yield from named(expression.expr)
        case promql.BinaryExpr():
            if expression.modifier and expression.modifier.matching:
                yield from expression.modifier.matching.labels
            yield from named(expression.lhs)
            yield from named(expression.rhs)
        case promql.Call():
            for argument in expression.args:
                yield from named(argument)
        case promql.ParenExpr():
            yield from named(expression.expr)


def labels(expression: promql.Expr, recorded: frozenset[str]) -> frozenset[str]:
    """Labels of what comes out; ``recorded`` are names that rules record, by namespace and job."""
    match expression:
        case promql.VectorSelector():
            if expression.name in recorded:
                return frozenset({"namespace", "job"})
            series = exported().get(expression.name or "")
            return TARGET | (series.labels.keys() if series else set())
        case promql.MatrixSelector():
            return labels(expression.vector_selector, recorded)
        case promql.AggregateExpr():
            return frozenset(expression.modifier.labels) if expression.modifier else frozenset()
        case promql.Call():
            (inner,) = (each for each in expression.args if not isinstance(each, promql.NumberLiteral))
            return labels(inner, recorded) - ({"le"} if expression.func.name == "histogram_quantile" else set())
        case promql.BinaryExpr():
            assert str(expression.op) in _KEEP, f"{expression.op} is not read here"
            left, right = (_of_side(side, recorded) for side in (expression.lhs, expression.rhs))
            if left is not None and right is not None:
                _assert_that_they_meet(expression, left, right)
            return left or frozenset()
        case promql.ParenExpr():
            return labels(expression.expr, recorded)
    raise AssertionError(f"{type(expression).__name__} is not read here")


def _of_side(side: promql.Expr, recorded: frozenset[str]) -> frozenset[str] | None:
    """Its labels; None: it is a number."""
    return None if _is_number(side) else labels(side, recorded)


def _is_number(expression: promql.Expr) -> bool:
    match expression:
        case promql.NumberLiteral():
            return True
        case promql.BinaryExpr():
            return _is_number(expression.lhs) and _is_number(expression.rhs)
    return False


def _assert_that_they_meet(expression: promql.BinaryExpr, left: frozenset[str], right: frozenset[str]) -> None:
    """Series of both sides meet by all their labels, or by those that ``on`` names: else nothing ever comes out."""
    matching = expression.modifier.matching if expression.modifier else None
    if matching is None:
        assert left == right, f"{expression.prettify()}: {sorted(left)} and {sorted(right)}"
    else:
        assert set(matching.labels) <= left & right, f"{expression.prettify()}: {sorted(left)} and {sorted(right)}"
