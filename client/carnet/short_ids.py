"""Ids as people write them: by their beginning.

An id has 22 or 43 characters of base64url, drawn at random or made by a hash. Eight of them tell it from others and are
what is shown; four are the fewest that name it, so that a letter typed by mistake is not taken for one.
"""

from typing import Final

_SHOWN: Final = 8
_FEWEST: Final = 4


def shorten(name: object) -> str:
    """The beginning of the id `name`, enough to tell it from others."""
    return str(name)[:_SHOWN]


def is_beginning(text: str, name: object) -> bool:
    """Whether `text`, of at least four characters, is the beginning of the id `name`, or all of it."""
    return len(text) >= _FEWEST and str(name).startswith(text)
