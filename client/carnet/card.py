"""The service card: which servers, which registrars, which suites; taken once and pinned (spec `statements.md`).

The first card of a home is believed because a person chose its source; from then on only the same card key replaces
it, with a higher serial. A card says where the servers are, so it comes from a file or over HTTPS, never from a
server that it does not name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2
from pydantic import TypeAdapter, ValidationError

from carnet.connections import advise, open_http
from carnet.errors import (
    AnswerError,
    HomeError,
    RollbackError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from carnet.home import Home
from carnet.transport import read_bounded
from carnet_protocol.api import CardView
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Fingerprint
from carnet_protocol.limits import MAX_STATEMENT_BYTES
from carnet_protocol.statements import ServiceCard, Signed
from carnet_protocol.statements.deployment import Origin
from carnet_protocol.suites import READABLE_SUITES

CARD_FILE: Final = "card.jws"
_ORIGIN: Final = TypeAdapter[str](Origin)


def parse_card(text: str) -> Signed[ServiceCard]:
    """The service card in `text`.

    1. It is a service card in its one form, signed by the card key that it names.
    2. Its write suite is one that this program has; so is its floor then, which is not above.

    Raises `VerificationError`.
    """
    # 1
    try:
        card = Signed.parse(text.strip(), ServiceCard)
        card.verify(card.body.card_key)
    except ProtocolError as error:
        raise VerificationError(
            "this is not a service card, or it was changed: get it again from its source"
        ) from error
    # 2
    if card.body.write_suite not in READABLE_SUITES:
        raise VerificationError("this deployment needs newer cryptography than this Carnet has: update Carnet")
    return card


def fetch_card(source: str, *, open_client: Callable[[str], httpx2.Client] = open_http) -> Signed[ServiceCard]:
    """The service card from `source`: a file, or the origin of a server of the deployment.

    Raises `UsageError`, `UnreachableError`, `AnswerError` or `VerificationError`.
    """
    if "://" not in source:
        return parse_card(_read_file(Path(source)))
    try:
        origin = _ORIGIN.validate_python(source.rstrip("/"))
    except ValidationError as error:
        raise UsageError("a service card comes from a file, or from https://host: give one of the two") from error
    try:
        with open_client(origin) as http, http.stream("GET", origin + "/v1/service-card") as response:
            view = CardView.model_validate_json(read_bounded(response, 2 * MAX_STATEMENT_BYTES))
    except httpx2.TransportError as error:
        advice = advise(error, "check the address and the network")
        raise UnreachableError(f"{origin} cannot be reached: {advice}") from error
    except ValidationError as error:
        raise AnswerError(f"{origin} is no server of Carnet: check the address") from error
    return parse_card(view.card)


def load_card(home: Home) -> Signed[ServiceCard]:
    """The pinned card of `home`. Raises `HomeError` or `VerificationError`."""
    return parse_card(home.load(CARD_FILE).decode("ascii", errors="replace"))


def check_card_key(card: Signed[ServiceCard], expected: Fingerprint) -> None:
    """Check that `card` is signed by the key that a person was told of. Raises `VerificationError`."""
    if card.body.card_key.fingerprint() != expected:
        raise VerificationError("this service card is signed by another key than the one you were told: do not use it")


def pin_card(home: Home, card: Signed[ServiceCard]) -> None:
    """Pin `card`, verified, in `home`.

    1. Where a card is pinned already, the new one has the same card key.
    2. Its serial is higher, or it is the same card.
    3. Its suite floor is no lower.

    Raises `VerificationError` or `RollbackError`, `HomeError` if it cannot be written.
    """
    if home.has(CARD_FILE):
        pinned = load_card(home)
        # 1
        if pinned.body.card_key != card.body.card_key:
            raise VerificationError(
                "this service card is of another deployment, or its key was changed: this home stays with its own"
            )
        # 2
        if card.hash == pinned.hash:
            return
        if card.body.serial <= pinned.body.serial:
            raise RollbackError("this service card is older than the one that is pinned here: it is not taken")
        # 3
        if card.body.suite_floor < pinned.body.suite_floor:
            raise RollbackError(
                "this service card allows older cryptography than the one that is pinned here: it is not taken"
            )
    home.store(CARD_FILE, card.text.encode("ascii"))


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATEMENT_BYTES + 1)
    except OSError as error:
        raise HomeError(f"the service card {path} cannot be read: {error.strerror}") from error
    return data.decode("ascii", errors="replace")
