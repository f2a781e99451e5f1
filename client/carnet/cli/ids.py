"""Ids as people give them: whole, by their beginning, or in a file."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from carnet.cli.files import read_file
from carnet.errors import UsageError
from carnet.people import verify_bundle
from carnet_protocol.api import PersonBundle
from carnet_protocol.authority import Person
from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import AttestationId, Fingerprint, FixedBytes, IdentityHash
from carnet_protocol.signing import hash_statement

_Id = TypeVar("_Id", bound=FixedBytes)


def parse_identity(text: str) -> IdentityHash:
    """The identity that `text` is, or that the file called `text` holds. Raises `UsageError`, `HomeError`."""
    try:
        return IdentityHash.parse(text.strip())
    except MalformedError:
        if not Path(text).is_file():
            raise UsageError(
                f"there is no file {text}, and an identity has 43 characters: ask them what `carnet whoami` shows, or "
                "for the file that `carnet whoami --save` writes"
            ) from None
    return load_person(Path(text)).identity


def parse_fingerprint(text: str) -> Fingerprint:
    """The fingerprint that `text` is. Raises `UsageError`."""
    return _parse(Fingerprint, text, "a fingerprint has 43 characters, as `carnet card show` prints it")


def parse_officer(text: str) -> Fingerprint:
    """The fingerprint of an officer's key that `text` is. Raises `UsageError`."""
    return _parse(Fingerprint, text, "an officer is named by 43 characters, see `carnet officer status`")


def parse_attestation(text: str) -> AttestationId:
    """The attestation that `text` names. Raises `UsageError`."""
    return _parse(AttestationId, text, "an attestation is named by 22 characters, see `carnet registrar list`")


def load_person(path: Path) -> Person:
    """The person in the file that `carnet whoami --save` wrote: public statements that prove themselves.

    Raises `HomeError`, `UsageError` or `VerificationError`.
    """
    try:
        bundle = PersonBundle.model_validate_json(read_file(path))
        identity = IdentityHash(hash_statement(bundle.identities[0]).raw)
    except (ValidationError, MalformedError, IndexError) as error:
        raise UsageError(f"{path} is not a file that `carnet whoami --save` wrote: ask for it again") from error
    return verify_bundle(identity, bundle)


def format_person(bundle: PersonBundle) -> bytes:
    """The file that `load_person` reads."""
    return format_canonical_json(bundle.model_dump(mode="json")) + b"\n"


def _parse(kind: type[_Id], text: str, message: str) -> _Id:
    try:
        return kind.parse(text.strip())
    except MalformedError as error:
        raise UsageError(message) from error
