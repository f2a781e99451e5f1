"""Which grants and revocations a server accepts. Values in, verdict out."""

from dataclasses import dataclass
from typing import Final

from carnet_protocol.ids import StatementHash
from carnet_protocol.statements import Grant, Revocation, Role, ServiceCard
from carnet_server.errors import ConflictError, InvalidStatementError, TooLargeError
from carnet_server.grants.queries import GrantRow
from carnet_server.people.queries import PersonRow

MAX_GRANTS: Final = 10_000
"""Grants of one record at a time: those that ended make room."""
MAX_GRANTS_TO_ONE: Final = 50
"""Grants of one record to one grantee at a time: nobody asks a practitioner before an inbox grows by them."""
MAX_GRANTS_A_DAY: Final = 200
"""New grants of one record within a day, ended or not: it bounds how fast the list that every device reads grows."""
GRANT_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """What the database says about what a new grant names."""

    grantee: PersonRow | None
    is_attested: bool
    known_compartments: int
    same_id: StatementHash | None
    lasting_grants: int
    lasting_grants_to_grantee: int
    grants_of_the_day: int


def decide_grant(body: Grant, card: ServiceCard, facts: GrantFacts, *, now: int) -> None:
    """A grant is one that both servers would serve now, or later.

    1. It is for the two servers of this deployment.
    2. It has not expired.
    3. The grantee is a known practitioner, named with the newest keys and an attestation of them that is valid now.
    4. Every compartment in its scope is one of the record.
    5. Its id is new, and the record and the grantee's inbox have room for it.

    Raises `InvalidStatementError`, `ConflictError` or `TooLargeError`.
    """
    # 1
    if body.vault != card.vault.fingerprint() or body.keyservice != card.keyservice.fingerprint():
        raise InvalidStatementError("other_servers")
    # 2
    if body.expires <= now:
        raise InvalidStatementError("grant_expired")
    # 3
    if facts.grantee is None or facts.grantee.role is not Role.PRACTITIONER:
        raise InvalidStatementError("grantee_unknown")
    if body.grantee_statement != facts.grantee.current:
        raise InvalidStatementError("grantee_has_newer_keys")
    if not facts.is_attested:
        raise InvalidStatementError("grantee_not_attested")
    # 4
    if facts.known_compartments != len(body.compartments):
        raise InvalidStatementError("compartment_unknown")
    # 5
    _require_room(facts)
    if facts.lasting_grants_to_grantee >= MAX_GRANTS_TO_ONE:
        raise TooLargeError("grants_to_one")


def decide_revoked_grant(body: Grant, card: ServiceCard, facts: GrantFacts, *, is_grantee_named: bool) -> None:
    """A grant that is revoked as it comes is well-formed here: for these servers, of a known practitioner, and new."""
    if body.vault != card.vault.fingerprint() or body.keyservice != card.keyservice.fingerprint():
        raise InvalidStatementError("other_servers")
    if facts.grantee is None or facts.grantee.role is not Role.PRACTITIONER or not is_grantee_named:
        raise InvalidStatementError("grantee_unknown")
    _require_room(facts)


def _require_room(facts: GrantFacts) -> None:
    if facts.same_id is not None:
        raise ConflictError("grant_id")
    if facts.lasting_grants >= MAX_GRANTS:
        raise TooLargeError("grants")
    if facts.grants_of_the_day >= MAX_GRANTS_A_DAY:
        raise TooLargeError("grants_of_the_day")


def decide_revocation(body: Revocation, *, grant: GrantRow | None) -> None:
    """A revocation names a grant of this record by hash and id. Whether that ended before makes no difference."""
    if grant is None or grant.record != body.record or grant.id != body.grant_id:
        raise InvalidStatementError("grant_unknown")
