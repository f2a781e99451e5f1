"""What all statements share: one typed payload, one constant header, one name (spec `statements.md`)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import ValidationError

from carnet_protocol.encoding import format_canonical_json, parse_canonical_json
from carnet_protocol.errors import MalformedError, StatementError
from carnet_protocol.ids import Ed25519PublicKey, StatementHash
from carnet_protocol.signing import Signer, hash_statement, split_jws, verify_jws
from carnet_protocol.wire import WireModel


class Statement(WireModel):
    """A statement's payload. `KIND` is the word in its `typ`; every member is always present."""

    KIND: ClassVar[str]

    @classmethod
    def typ(cls) -> str:
        """The `typ` in the header."""
        return f"carnet.{cls.KIND}.v1"

    def payload(self) -> bytes:
        """Canonical JSON of the statement."""
        return format_canonical_json(self.model_dump(mode="json"))


_S = TypeVar("_S", bound=Statement)


@dataclass(frozen=True, slots=True)
class Signed(Generic[_S]):
    """A statement as it travels: its payload `body`, its compact JWS `text`, its name `hash`.

    `parse` does not verify; who may sign a kind is decided where it is used (`carnet_protocol.authority`).
    """

    body: _S
    text: str
    hash: StatementHash

    @classmethod
    def sign(cls, body: _S, signer: Signer) -> Self:
        """Sign `body`."""
        text = signer.sign_jws(body.typ(), body.payload())
        return cls(body, text, hash_statement(text))

    @classmethod
    def parse(cls, text: str, kind: type[_S]) -> Self:
        """The statement of `kind` that `text` carries, with its signature not yet checked.

        Raises `MalformedError` for another kind or spelling and `StatementError` for members against the rules.
        """
        if not text.isascii():
            raise MalformedError("a statement is ASCII text")
        payload = split_jws(text, kind.typ())
        members: dict[str, Any] = parse_canonical_json(payload)
        try:
            body = kind.model_validate(members)
        except ValidationError as error:
            raise StatementError(f"a {kind.KIND} statement has members against the rules") from error
        if body.payload() != payload:
            raise MalformedError("a statement is not in its one form")
        return cls(body, text, hash_statement(text))

    def verify(self, public_key: Ed25519PublicKey) -> None:
        """Check the signature. Raises `SignatureError`."""
        verify_jws(self.text, self.body.typ(), public_key)
