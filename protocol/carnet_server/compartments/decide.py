"""Which compartment statements and closings a server accepts. Values in, verdict out."""

from carnet_protocol.limits import MAX_COMPARTMENTS, MAX_EPOCHS
from carnet_protocol.statements import Closing, Compartment, ServiceCard
from carnet_server.compartments.queries import CompartmentRow, Counts
from carnet_server.errors import ConflictError, InvalidStatementError, TooLargeError


def decide_compartment(
    body: Compartment,
    card: ServiceCard,
    *,
    newest: CompartmentRow | None,
    known_compartments: Counts,
    known_epochs: Counts,
) -> None:
    """A statement for this key service follows the newest epoch of its compartment, by compare-and-set.

    A device that was shut out uses up no more than half of the room: what it made since leaves the owner the rest.
    """
    if body.keyservice != card.keyservice.fingerprint():
        raise InvalidStatementError("other_key_service")
    if body.suite < card.suite_floor:
        raise InvalidStatementError("suite_below_floor")
    if newest is None:
        if body.epoch != 1:
            raise ConflictError("epoch_not_next")
        _require_room(known_compartments, MAX_COMPARTMENTS, "compartments")
    elif body.previous != newest.hash or body.epoch != newest.epoch + 1:
        raise ConflictError("epoch_not_next")
    _require_room(known_epochs, MAX_EPOCHS, "epochs")


def _require_room(known: Counts, most: int, what: str) -> None:
    if known.own >= most or known.all >= 2 * most:
        raise TooLargeError(what)


def decide_closing(body: Closing, *, named: CompartmentRow | None, newest: CompartmentRow | None) -> None:
    """A closing names an epoch of this record that is no longer the newest, and is not closed."""
    if (
        named is None
        or newest is None
        or named.record != body.record
        or named.compartment != body.compartment
        or named.epoch != body.epoch
    ):
        raise InvalidStatementError("epoch_unknown")
    if named.hash == newest.hash:
        raise ConflictError("epoch_is_newest")
    if named.is_closed:
        raise ConflictError("epoch_is_closed")
