"""The committed schemas are those of the models, and those that the servers answer with."""

from tests.support.schema import check


def test_the_committed_schemas_are_those_of_the_programs() -> None:
    assert check() == []
