"""Answers that every route shares, and the service card."""

from carnet_protocol.errors import ErrorCode
from carnet_protocol.wire import WireModel


class ErrorBody(WireModel):
    """Code and constant message of a refusal."""

    code: ErrorCode
    message: str


class ErrorAnswer(WireModel):
    """Body of every refusal."""

    error: ErrorBody


class CardView(WireModel):
    """`GET /v1/service-card`: the service card as a compact JWS."""

    card: str


class Accepted(WireModel):
    """What a server accepted: one receipt (JWS) per statement, in order."""

    receipts: tuple[str, ...]
