"""What a check found wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` says which rule is broken, in snake case; `where` the row, by ids that operators may see."""

    check: str
    where: str
