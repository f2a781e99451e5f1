"""Cursors of pages: the place of the last thing on the page, and of nothing that was left out.

A cursor repeats what its reader was just shown, so it tells nobody how much lies hidden in between.
"""

import re
from typing import Final

from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import DocumentId, StatementHash
from carnet_protocol.limits import MAX_VERSIONS
from carnet_protocol.tuples import KeyRole
from carnet_server.errors import BadRequestError
from carnet_vault.capsules.decide import Place

_NUMBER: Final = r"([1-9][0-9]{0,4})"
_HASH: Final = r"([A-Za-z0-9_-]{43})"
_VERSION: Final = re.compile(rf"{_HASH}\.{_NUMBER}", re.ASCII)
_PLACE: Final = re.compile(rf"{_HASH}\.{_NUMBER}\.(content|metadata)(?:\.{_HASH})?", re.ASCII)


def format_version(document: DocumentId, version: int) -> str:
    """The cursor after one version of a document."""
    return f"{document}.{version}"


def parse_version(text: str) -> tuple[DocumentId, int]:
    """The version that a cursor stands after. Raises `BadRequestError`."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise BadRequestError("cursor")
    return _document(match[1]), _number(match[2])


def format_place(place: Place) -> str:
    """The cursor after one capsule."""
    grant = "" if place.grant is None else f".{place.grant}"
    return f"{place.document}.{place.version}.{place.role}{grant}"


def parse_place(text: str) -> Place:
    """The place of the capsule that a cursor stands after. Raises `BadRequestError`."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise BadRequestError("cursor")
    try:
        grant = None if match[4] is None else StatementHash.parse(match[4])
    except ProtocolError as error:
        raise BadRequestError("cursor") from error
    return Place(_document(match[1]), _number(match[2]), KeyRole(match[3]), grant)


def _document(text: str) -> DocumentId:
    try:
        return DocumentId.parse(text)
    except ProtocolError as error:
        raise BadRequestError("cursor") from error


def _number(text: str) -> int:
    if int(text) > MAX_VERSIONS:
        raise BadRequestError("cursor")
    return int(text)
