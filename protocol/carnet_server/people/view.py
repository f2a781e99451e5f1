"""Who may see which person, and what is shown (spec `api.md`)."""

from sqlalchemy import Connection

from carnet_protocol.api import PersonView
from carnet_protocol.ids import IdentityHash, RecordId
from carnet_protocol.statements import Role
from carnet_server.directory.queries import Registrars, load_attestations, load_lists, load_succession
from carnet_server.errors import RefusedError
from carnet_server.grants.queries import holds_lasting_grant
from carnet_server.people.queries import find_person, load_bundle


def view_person(
    connection: Connection, principal: IdentityHash, identity: IdentityHash, *, pinned: Registrars, now: int
) -> PersonView:
    """What `principal` sees of `identity`.

    1. The person is known.
    2. It is the principal, or a practitioner, or a patient one of whose grants the principal holds, not ended, with a
       valid attestation.

    Raises `RefusedError`.
    """
    # 1
    person = find_person(connection, identity)
    if person is None:
        raise RefusedError("person_unknown")
    # 2
    is_open = identity == principal or person.role is Role.PRACTITIONER
    if not is_open and not holds_lasting_grant(connection, principal, RecordId.of(identity), pinned=pinned, now=now):
        raise RefusedError("person_of_another")
    return PersonView(
        person=load_bundle(connection, identity),
        attestations=load_attestations(connection, identity, now=now),
        revocation_lists=load_lists(connection, pinned),
        succession=load_succession(connection, identity),
    )
