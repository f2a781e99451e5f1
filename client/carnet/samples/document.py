"""A sample document as its maker hands it over, and the canary that a search for leaks looks for."""

import base64
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

CANARY_BYTES: Final = 64
_CANARY: Final = re.compile(rb"[A-Za-z0-9_-]{64}")


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """What sort of document it is: a LOINC document type, `code` and `display`."""

    code: str
    display: str


@dataclass(frozen=True, slots=True)
class SampleDocument:
    """A file at `path` with what its depositor would say about it."""

    path: Path
    title: str
    kind: DocumentKind
    media_type: str
    care_date: date
    description: str


def make_canary(random: Callable[[int], bytes] = secrets.token_bytes) -> bytes:
    """Sixty-four bytes that occur nowhere else, from letters, digits, `-` and `_`."""
    return base64.urlsafe_b64encode(random(CANARY_BYTES * 3 // 4))


def canary_text(canary: bytes | None) -> str | None:
    """The canary as text.

    Letters, digits, `-` and `_` alone are allowed, for they stand as they are in PDF, JSON, PNG and DICOM alike;
    anything else is an internal error.
    """
    if canary is None:
        return None
    if _CANARY.fullmatch(canary) is None:
        raise AssertionError(f"internal: a canary is {CANARY_BYTES} letters, digits, hyphens and underscores")
    return canary.decode("ascii")
