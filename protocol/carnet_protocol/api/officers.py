"""Security officers of a server: `/v1/admin/officers`, `/v1/admin/status`."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.ids import Fingerprint
from carnet_protocol.limits import MAX_JSON_INTEGER
from carnet_protocol.statements.people import SigningPublicKey
from carnet_protocol.wire import UtcSeconds, WireModel

Count = Annotated[int, Field(ge=0, le=MAX_JSON_INTEGER)]


class OfficerUpdate(WireModel):
    """`POST` and `DELETE /v1/admin/officers`: the officer whose key begins, or ceases, to be in force."""

    public_key: SigningPublicKey


class OfficerEntry(WireModel):
    """An officer: by which event enrolled, by which retired, None while in force."""

    fingerprint: Fingerprint
    public_key: SigningPublicKey
    enrolled: Count
    retired: Count | None


class ServerStatus(WireModel):
    """`GET /v1/admin/status`: what an officer sees of a server. `counts` are the server's own, by name."""

    server: Fingerprint
    time: UtcSeconds
    events: Count
    officers: Annotated[tuple[OfficerEntry, ...], Field(strict=False)]
    counts: dict[str, int]
