"""Receipts: a server's signed promise that an event stands in its log (spec `log.md`).

Checked wherever one comes back. Those of revocations and releases are kept, sealed, so that a log that loses their
events can be shown to have lied.
"""

from collections.abc import Sequence
from typing import Final

from carnet.errors import AnswerError, VerificationError
from carnet.state import LocalState
from carnet.transport import ServerClient
from carnet_protocol.errors import ProtocolError
from carnet_protocol.statements import Receipt, Signed

_LIST: Final = "receipts"


def verify_receipt(text: str, server: ServerClient) -> Signed[Receipt]:
    """The receipt in `text`, signed with the log key of `server` and naming it. Raises `VerificationError`."""
    try:
        receipt = Signed.parse(text, Receipt)
        receipt.verify(server.entry.log_key)
    except ProtocolError as error:
        raise VerificationError(f"the {server.name} gave a receipt that is not its own: ask its operator") from error
    if receipt.body.server != server.fingerprint:
        raise VerificationError(f"the {server.name} gave the receipt of another server: ask its operator")
    return receipt


def verify_receipts(texts: Sequence[str], server: ServerClient, *, count: int) -> tuple[Signed[Receipt], ...]:
    """The receipts of `count` statements. Raises `AnswerError` for another number, or `VerificationError`."""
    if len(texts) != count:
        raise AnswerError(f"the {server.name} gave {len(texts)} receipts for {count} statements: ask its operator")
    return tuple(verify_receipt(text, server) for text in texts)


def keep_receipt(state: LocalState, receipt: Signed[Receipt]) -> None:
    """Keep `receipt`; a later version of the client asks the log for its event."""
    state.append(_LIST, {"format": "carnet.receipt.v1", "receipt": receipt.text})


def kept_receipts(state: LocalState) -> list[str]:
    """The receipts that were kept, as compact JWS, oldest first."""
    return [str(value["receipt"]) for value in state.load_list(_LIST)]
