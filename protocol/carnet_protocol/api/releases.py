"""Releases: the key service takes off outer locks (`POST /v1/records/{record}/releases`)."""

from enum import StrEnum, unique
from typing import Annotated

from pydantic import Field

from carnet_protocol.api.capsules import Capsule
from carnet_protocol.api.people import Jws
from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.limits import MAX_RELEASE_ITEMS
from carnet_protocol.wire import Base64Bytes, SuiteNumber, WireModel


@unique
class ReleaseKind(StrEnum):
    """Why: to list (metadata keys) or to open (content keys, and metadata keys with them)."""

    LIST = "list"
    OPEN = "open"


class ReleaseItem(WireModel):
    """A capsule with the rest of its wrap tuple."""

    suite: SuiteNumber
    author: IdentityHash
    capsule: Capsule


class ReleaseRequest(WireModel):
    """Asks for the outer locks of up to 500 capsules to be taken off under one grant (None: the patient)."""

    grant: StatementHash | None
    kind: Annotated[ReleaseKind, Field(strict=False)]
    items: Annotated[tuple[ReleaseItem, ...], Field(min_length=1, max_length=MAX_RELEASE_ITEMS, strict=False)]


class ReleaseAnswer(WireModel):
    """Inner locks in the order of the items, null where refused; the receipt names the event that logs the rest.

    Where every item is refused, the answer is the refusal of the whole request.
    """

    inner: Annotated[tuple[Base64Bytes | None, ...], Field(strict=False)]
    receipt: Jws
