"""Object names: 32 random bytes, written as 43 characters of base64url.

A name says nothing of what it names. There is one spelling for each, so two names are equal when their texts are, and
no text with a dot, a slash or another length ever reaches a path or a bucket. Names are ordered as their ASCII texts
are.
"""

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from carnet_storage.errors import InvalidName

NAME_BYTES: Final = 32
NAME_CHARACTERS: Final = 43

# 43 characters carry 258 bits: of the last one, the low two bits must be zero, or several texts would name the same
# bytes.
_SPELLING: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class ObjectName:
    """The name of one object, in its only spelling. Raises `InvalidName` for any other text."""

    text: str

    def __post_init__(self) -> None:
        if len(self.text) != NAME_CHARACTERS or _SPELLING.fullmatch(self.text) is None:
            raise InvalidName(f"An object name is {NAME_BYTES} bytes as {NAME_CHARACTERS} characters of base64url.")

    def __str__(self) -> str:
        return self.text


def make_object_name(randomness: Callable[[int], bytes] = secrets.token_bytes) -> ObjectName:
    """Returns a name that nobody can guess and nothing has; `randomness` is there for tests."""
    return ObjectName(base64.urlsafe_b64encode(randomness(NAME_BYTES)).rstrip(b"=").decode("ascii"))
