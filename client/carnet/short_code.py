"""The short code of an identity, which two people read out to each other (spec `keys.md`, "Short code").

    >>> from carnet_protocol.ids import IdentityHash
    >>> format_short_code(derive_short_code(IdentityHash(bytes(32))))
    '61364 59223 91253 48708 06978 14161'

Thirty decimal digits are 99.6 bits. Whoever wants to pass for somebody else must find a second identity statement with
the victim's code, a second preimage: 2**99 hashes, and still 2**73 for any one among a hundred million victims. Two
identities with one code can be had for 2**50 hashes, but both then belong to whoever made them, and nobody else's code
is forged. Shorter codes fall to rented machines; words instead of digits would need one list for every language. The
code is no secret and proves nothing by itself: it counts when compared with the person in the room or on the phone.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from carnet_protocol import labels
from carnet_protocol.encoding import hash_packed
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import IdentityHash

GROUPS: Final = 6
GROUP_DIGITS: Final = 5
_DIGITS: Final = GROUPS * GROUP_DIGITS
_TEXT_FORM: Final = re.compile(rf"[0-9]{{{GROUP_DIGITS}}}(?: [0-9]{{{GROUP_DIGITS}}}){{{GROUPS - 1}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ShortCode:
    """Thirty decimal `digits`. Raises `MalformedError` for anything else."""

    digits: str

    def __post_init__(self) -> None:
        """Check length and alphabet."""
        if len(self.digits) != _DIGITS or not (self.digits.isascii() and self.digits.isdigit()):
            raise MalformedError(f"a short code has {_DIGITS} digits")

    def groups(self) -> tuple[str, ...]:
        """The six groups of five digits, in reading order."""
        return tuple(self.digits[start : start + GROUP_DIGITS] for start in range(0, _DIGITS, GROUP_DIGITS))


def derive_short_code(identity: IdentityHash) -> ShortCode:
    """The short code of the person whom `identity` names."""
    return _short_code(identity.raw)


def derive_request_code(request: bytes) -> ShortCode:
    """The short code of a new device's `request`, compared on both screens (spec `keys.md`, "A second device")."""
    return _short_code(hashlib.sha256(request).digest())


def format_short_code(code: ShortCode) -> str:
    """The text form of `code`, the only one: six groups of five digits with single spaces."""
    return " ".join(code.groups())


def parse_short_code(text: str) -> ShortCode:
    """The short code whose text form is `text`. Raises `MalformedError` for any other spelling."""
    if _TEXT_FORM.fullmatch(text) is None:
        raise MalformedError(f"a short code is {GROUPS} groups of {GROUP_DIGITS} digits with single spaces between")
    return ShortCode(text.replace(" ", ""))


def _short_code(digest: bytes) -> ShortCode:
    # 2**256 is not a multiple of 10**30: the first codes are likelier by less than one part in 2**156.
    number = int.from_bytes(hash_packed(labels.SHORT_CODE, digest), "big") % 10**_DIGITS
    return ShortCode(f"{number:0{_DIGITS}d}")
