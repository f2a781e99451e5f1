"""What is signed of a message, composed by the `http-message-signatures` library (RFC 9421, 2.5): for signers alone.

Whoever signs requests (`requests.py`) or answers (`answers.py`) says all there is to choose: components, their order,
key id, time and nonce. The library serialises; it chooses nothing and parses no digest once more.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from http_message_signatures import (
    ContentDigest,
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    PreparedSignature,
)
from http_message_signatures.algorithms import ED25519
from typing_extensions import override

from carnet_protocol.errors import MalformedError

LABEL: Final = "carnet"


def compose(
    message: object, *, key_id: str, created: int, nonce: str, tag: str, components: Sequence[str], what: str
) -> PreparedSignature:
    """The signature base of `message` and its parameters. Raises `MalformedError`, which calls the message `what`."""
    try:
        return _COMPOSER.prepare(
            message,
            key_id=key_id,
            created=datetime.fromtimestamp(created, tz=UTC),
            nonce=nonce,
            label=LABEL,
            tag=tag,
            covered_component_ids=components,
        )
    except HTTPMessageSignaturesException as error:
        raise MalformedError(f"no signing input can be made of this {what}") from error


class _KnownDigest(ContentDigest):
    """A digest that its signer has made, or whose form a parser has checked: not parsed once more."""

    @classmethod
    @override
    def prepare(cls, headers: object, body: bytes | None, *, use_existing_digest: bool) -> None:
        """Leave the header as it is."""


class _Composer(HTTPMessageSigner):
    """The library's composer of signing inputs."""

    content_digest_class = _KnownDigest


_COMPOSER: Final = _Composer(signature_algorithm=ED25519)
