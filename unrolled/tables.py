"""Tables as a terminal shows them: lines of aligned columns, made of records (dicts of the same names)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def number(value: Any) -> str:
    """A value as a cell: four digits behind the point, of small ones two that are not 0, commas between thousands, nothing for
    None."""
    if isinstance(value, float):
        small = 0 < abs(value) < 0.001
        return f"{value:.2g}" if small else f"{value:,.4f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if type(value) is int else "" if value is None else str(value)


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def lines(records: Sequence[Record], head: Sequence[str] = ()) -> list[str]:
    """Records under a head, which is their names if not given."""
    return aligned([head or tuple(records[0]), *(tuple(map(number, record.values())) for record in records)]) if records else []


def beside(records: Iterable[Record], column: str, others: Mapping[str, Mapping[str, Any]]) -> list[Record]:
    """The records with one more column for each of `others`, which tell their value of what stands in `column`."""
    return [record | {title: values.get(record[column]) for title, values in others.items()} for record in records]
