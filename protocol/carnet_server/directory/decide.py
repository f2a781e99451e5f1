"""Which statements of the directory a server accepts (spec `statements.md`, "Directory"). Values in, verdict out.

The `require_` functions give the key that must have signed; what the others refuse is for whoever holds it.
"""

from collections.abc import Mapping

from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, IdentityHash
from carnet_protocol.statements import Attestation, RevocationList, Role, Signed, Succession
from carnet_server.directory.queries import ListRow
from carnet_server.errors import ConflictError, InvalidStatementError
from carnet_server.people.decide import require_past
from carnet_server.people.queries import PersonRow

RegistrarKeys = Mapping[Fingerprint, Ed25519PublicKey]


def decide_attestation(
    signed: Signed[Attestation],
    *,
    subject: PersonRow | None,
    owner: IdentityHash | None,
    is_id_taken: bool,
    now: int,
) -> None:
    """A registrar attests a known practitioner, with keys that are theirs (`owner` has the statement named)."""
    _require_practitioner(subject)
    if owner != signed.body.subject:
        raise InvalidStatementError("identity_statement_unknown")
    if signed.body.expires <= now:
        raise InvalidStatementError("attestation_expired")
    if is_id_taken:
        raise ConflictError("attestation_id")


def decide_list(signed: Signed[RevocationList], *, newest: ListRow | None, now: int) -> None:
    """A registrar's list has a higher number than the one before."""
    require_past(signed.body.issued_at, now=now)
    if newest is not None and signed.body.number <= newest.number:
        raise ConflictError("revocation_list_not_newer")


def decide_succession(
    signed: Signed[Succession],
    *,
    successor: PersonRow | None,
    owner: IdentityHash | None,
    is_succeeded: bool,
    now: int,
) -> None:
    """A practitioner hands over to a known practitioner, once."""
    require_past(signed.body.issued_at, now=now)
    _require_practitioner(successor)
    if owner != signed.body.successor:
        raise InvalidStatementError("identity_statement_unknown")
    if is_succeeded:
        raise ConflictError("succeeded_already")


def require_registrar(registrar: Fingerprint, registrars: RegistrarKeys) -> Ed25519PublicKey:
    """The key of `registrar`, if it is pinned. Raises `InvalidStatementError`."""
    key = registrars.get(registrar)
    if key is None:
        raise InvalidStatementError("registrar_not_pinned")
    return key


def require_predecessor(predecessor: PersonRow | None) -> Ed25519PublicKey:
    """The root key of `predecessor`, if they are a practitioner. Raises `InvalidStatementError`."""
    return _require_practitioner(predecessor).root_key


def _require_practitioner(person: PersonRow | None) -> PersonRow:
    if person is None or person.role is not Role.PRACTITIONER:
        raise InvalidStatementError("practitioner_unknown")
    return person
