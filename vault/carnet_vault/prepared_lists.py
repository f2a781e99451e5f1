"""Prepared statements (`carnet_server.prepared`) that look up several ids at once.

A deposit looks up its facts twice, by lists of one to fifty ids. What SQLAlchemy does to widen a list at each execution
was a third of the time of a whole deposit, measured on 2026-11-21. Here each list has one of three lengths, and is
filled up with what it has already.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam

from carnet_protocol.ids import FixedBytes
from carnet_server.prepared import Prepared, Value

_LENGTHS: Final = (1, 8, 64)


class PreparedList:
    """One query for rows whose `column` is in a list."""

    __slots__ = ("_by_length",)

    def __init__(self, query: Select[Any], column: ColumnElement[Any]) -> None:
        self._by_length = {length: Prepared(query.where(column.in_(_parameters(length)))) for length in _LENGTHS}

    def rows(self, connection: Connection, wanted: Sequence[FixedBytes], **values: Value) -> Iterator[tuple[Any, ...]]:
        """Every row for the ids `wanted`, as the driver has them."""
        longest = _LENGTHS[-1]
        for start in range(0, len(wanted), longest):
            raw = [item.raw for item in wanted[start : start + longest]]
            length = next(length for length in _LENGTHS if length >= len(raw))
            raw += raw[:1] * (length - len(raw))
            named = {f"wanted_{place}": value for place, value in enumerate(raw)}
            yield from self._by_length[length].rows(connection, **named, **values)


def _parameters(length: int) -> list[BindParameter[Any]]:
    return [bindparam(f"wanted_{place}") for place in range(length)]
