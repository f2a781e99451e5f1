"""Events as the people concerned see them (`GET /v1/records/{record}/events`)."""

from typing import Annotated

from pydantic import Field

from carnet_protocol.ids import Commitment
from carnet_protocol.limits import MAX_JSON_INTEGER, MAX_PAGE
from carnet_protocol.wire import Base64Bytes, UtcSeconds, WireModel


class Event(WireModel):
    """An event with its opening: `body` is canonical JSON, committed to with `salt` (spec `log.md`)."""

    index: Annotated[int, Field(ge=0, le=MAX_JSON_INTEGER)]
    time: UtcSeconds
    commitment: Commitment
    salt: Base64Bytes
    body: Base64Bytes


class EventsPage(WireModel):
    """Events that concern the record, by index; `next` is the cursor of the next page."""

    events: Annotated[tuple[Event, ...], Field(max_length=MAX_PAGE, strict=False)]
    next: str | None
