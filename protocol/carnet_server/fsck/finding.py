"""What a check found wrong."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` says which rule is broken, in snake case; `where` the row, by ids that operators may see."""

    check: str
    where: str


def survive(findings: Iterator[Finding], what: str) -> Iterator[Finding]:
    """Yields `findings`; where their check breaks at something that cannot even be read, that is one as well."""
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001  a damaged row may raise anything, and must keep no other check back
        yield Finding("check_cut_short", f"{what}, by {type(error).__name__}")
