"""Which erasures a server accepts. Values in, verdict out."""

from carnet_protocol.limits import ERASURE_WINDOW_SECONDS
from carnet_protocol.statements import Erasure, ServiceCard
from carnet_server.errors import InvalidStatementError
from carnet_server.people.decide import require_past


def decide_erasure(body: Erasure, card: ServiceCard, *, now: int) -> None:
    """An erasure is for the two servers of this deployment, and made within the last seven days.

    Raises `InvalidStatementError`.
    """
    if body.vault != card.vault.fingerprint() or body.keyservice != card.keyservice.fingerprint():
        raise InvalidStatementError("other_servers")
    if body.issued_at < now - ERASURE_WINDOW_SECONDS:
        raise InvalidStatementError("issued_too_long_ago")
    require_past(body.issued_at, now=now)
