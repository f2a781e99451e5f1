"""Statements from the wire: of the kinds that a route takes, before anything is looked up."""

from collections.abc import Collection, Sequence
from typing import Any

from carnet_protocol.errors import ProtocolError
from carnet_protocol.signing import constant_header
from carnet_protocol.statements import Signed, Statement
from carnet_server.errors import InvalidStatementError

AnyStatement = Signed[Any]
"""A statement of some kind; `match` on its `body` says which."""


def parse_statements(texts: Sequence[str], kinds: Collection[type[Statement]]) -> list[AnyStatement]:
    """The statements that `texts` carry, signatures not yet checked. Raises `InvalidStatementError` for other kinds."""
    return [parse_statement(text, kinds) for text in texts]


def parse_statement(text: str, kinds: Collection[type[Statement]]) -> AnyStatement:
    """The statement of one of `kinds` that `text` carries. Raises `InvalidStatementError`."""
    header = text.partition(".")[0]
    for kind in kinds:
        if header == constant_header(kind.typ()):
            try:
                return Signed.parse(text, kind)
            except ProtocolError as error:
                raise InvalidStatementError("statement_malformed") from error
    raise InvalidStatementError("statement_kind")
