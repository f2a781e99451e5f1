"""Numbers in paths and queries, in their one spelling: no sign, no leading zero, no fraction, no space."""

import re
from typing import Final

from pydantic import BeforeValidator

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")


def _parse(value: object) -> object:
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            raise ValueError("a number has one spelling")
        return int(value)
    return value


ONE_SPELLING: Final = BeforeValidator(_parse)
"""For the annotation of a parameter that is an integer: `Annotated[int, Path(ge=1), ONE_SPELLING]`."""
