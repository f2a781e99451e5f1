"""Statements from the wire: of the kinds that are asked for, in their one form."""

import pytest

from carnet_protocol.signing import constant_header
from carnet_protocol.statements import Device, Identity, Removal, Role
from carnet_server.errors import InvalidStatementError
from carnet_server.people.accept import KINDS
from carnet_server.records import accept as records
from carnet_server.statements.parse import parse_statement, parse_statements
from tests.support.people import Dice, make_person

ALICE = make_person(Dice("alice"), Role.PATIENT)


def test_statements_of_the_kinds_asked_for_are_parsed_in_order() -> None:
    parsed = parse_statements(ALICE.statements(), KINDS)
    assert [type(signed.body) for signed in parsed] == [Identity, Device]


def test_a_kind_that_is_not_asked_for_is_refused() -> None:
    with pytest.raises(InvalidStatementError, match="statement_kind"):
        parse_statement(ALICE.current.text, records.KINDS)


def test_a_statement_under_the_header_of_another_kind_is_refused() -> None:
    _, payload, signature = ALICE.current.text.split(".")
    for kind in (Device, Removal):
        with pytest.raises(InvalidStatementError, match="statement_malformed"):
            parse_statement(f"{constant_header(kind.typ())}.{payload}.{signature}", KINDS)


@pytest.mark.parametrize("text", ["", "a", "..", "a.b.c", "\u00e9.\u00e9.\u00e9"])
def test_what_is_no_statement_is_refused(text: str) -> None:
    with pytest.raises(InvalidStatementError):
        parse_statement(text, KINDS)


def test_a_cut_or_extended_statement_is_refused() -> None:
    text = ALICE.current.text
    for damaged in (text[:-1], text + "A", text[:-2] + "==", text + ".", text.replace(".", "..", 1)):
        with pytest.raises(InvalidStatementError):
            parse_statement(damaged, KINDS)
