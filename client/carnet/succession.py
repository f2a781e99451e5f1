"""A practitioner who takes over from another: the same human with new keys, or a practice that changed hands.

The grants of the predecessor hold for the successor while the predecessor's root key and a registrar both say so. It is
one step: who takes over from a successor holds the grants that were made to that successor, and no others.
"""

from carnet.errors import VerificationError
from carnet.people import Practitioner, verify_succession
from carnet.session import Both, Session
from carnet_protocol.api import PersonView
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Signed, Succession


def ask_person(session: Session, identity: IdentityHash) -> Both[PersonView]:
    """What both servers show of `identity`. Raises a `TransportError`."""
    return session.ask_both(lambda server: server.get(f"/v1/people/{identity}", PersonView))


def fetch_practitioner(session: Session, identity: IdentityHash) -> Practitioner:
    """The practitioner `identity`, verified and attested now. Raises a `DataError` or a `TransportError`."""
    return verify_practitioner(session, identity, ask_person(session, identity))


def fetch_reader(session: Session, grantee: IdentityHash) -> Practitioner:
    """Who reads now under a grant to `grantee`: the successor, while a succession is in effect, or else `grantee`.

    Raises a `DataError` or a `TransportError`.
    """
    views = ask_person(session, grantee)
    return find_successor(session, grantee, views) or verify_practitioner(session, grantee, views)


def verify_practitioner(
    session: Session, identity: IdentityHash, views: Both[PersonView], *, succeeds: IdentityHash | None = None
) -> Practitioner:
    """The practitioner that `views` prove; as the successor of `succeeds`, if that is given. Raises a `DataError`."""
    return session.people.verify_practitioner(
        identity,
        vault=views.vault,
        keyservice=views.keyservice,
        registrars=session.card.body.registrars,
        now=session.clock(),
        succeeds=succeeds,
    )


def find_successor(session: Session, predecessor: IdentityHash, views: Both[PersonView]) -> Practitioner | None:
    """The practitioner who took over from `predecessor`, whom `views` show; None while no succession is in effect.

    1. A server shows a succession, signed by the predecessor's root key.
    2. The successor is attested now as the one who takes over from the predecessor.

    A succession without such an attestation has no effect. Raises a `TransportError`, or a `DataError` where servers
    contradict each other or what was seen before.
    """
    # 1
    text = views.keyservice.succession or views.vault.succession
    if text is None:
        return None
    person = session.people.verify_both(predecessor, vault=views.vault.person, keyservice=views.keyservice.person)
    try:
        identity = Signed.parse(text, Succession).body.successor
    except ProtocolError as error:
        raise VerificationError("a server shows a succession that is none: ask its operator") from error
    # 2
    try:
        successor = verify_practitioner(session, identity, ask_person(session, identity), succeeds=predecessor)
        verify_succession(text, predecessor=person, successor=successor)
    except VerificationError:
        return None
    return successor


def verify_successor(session: Session, predecessor: IdentityHash) -> None:
    """Check that this session's person took over from `predecessor`.

    Raises `VerificationError`, or what asking the servers raises.
    """
    successor = find_successor(session, predecessor, ask_person(session, predecessor))
    if successor is None or successor.person.identity != session.identity:
        raise VerificationError("this grant is for somebody else: nothing was used")
