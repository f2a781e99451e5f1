"""All grants and revocations of one's own record, as both servers show them and the patient signed them.

A grant or revocation counts when either server shows it, for it proves itself; what one of them lacks is named, so
that it can be sent again. One that this client, or another device that committed to it, saw before must be shown.

What the vault alone shows stands behind in the list, and moves when the key service hears of it. So epochs commit to
what the key service shows, and are sealed to readers under grants that it has: it is the one that appends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carnet.access import RecordAccess
from carnet.compartments import covering_grants, verify_readers
from carnet.errors import (
    NoSpaceError,
    NotFoundError,
    RateLimitedError,
    RefusalError,
    RollbackError,
    UnavailableError,
    VerificationError,
)
from carnet.session import Session
from carnet.short_ids import is_beginning
from carnet.transport import ServerClient
from carnet_protocol.api import Accepted, GrantsView, RecordUpdate
from carnet_protocol.authority import Person
from carnet_protocol.errors import ProtocolError, SignatureError
from carnet_protocol.ids import CompartmentId, GrantId, RecordId, StatementHash
from carnet_protocol.limits import ADMISSION_WINDOW_SECONDS, MAX_STATEMENTS_PER_REQUEST
from carnet_protocol.statements import Grant, Revocation, Signed


@dataclass(frozen=True, slots=True)
class GrantBook:
    """Verified grants and revocations, in the order of acceptance at the key service.

    `accepted` are all grants; `grants` leaves out those that a device signed after its owner shut it out.
    `at_vault` and `at_keyservice` are the statements that each server shows; `lacking_at_vault` and
    `lacking_at_keyservice` those (JWS) that count and that the other server alone shows.
    """

    accepted: tuple[Signed[Grant], ...]
    grants: tuple[Signed[Grant], ...]
    revocations: tuple[Signed[Revocation], ...]
    at_vault: frozenset[StatementHash]
    at_keyservice: frozenset[StatementHash]
    lacking_at_vault: tuple[str, ...]
    lacking_at_keyservice: tuple[str, ...]

    @property
    def decided_grants(self) -> tuple[Signed[Grant], ...]:
        """Those of `accepted` that the key service has."""
        return tuple(grant for grant in self.accepted if grant.hash in self.at_keyservice)

    @property
    def decided_revocations(self) -> tuple[Signed[Revocation], ...]:
        """Those of `revocations` that the key service has."""
        return tuple(revocation for revocation in self.revocations if revocation.hash in self.at_keyservice)

    def revocation_of(self, grant: StatementHash) -> Signed[Revocation] | None:
        """The revocation of `grant`, None if there is none."""
        return next((revocation for revocation in self.revocations if revocation.body.grant == grant), None)

    def is_over(self, grant: Signed[Grant], *, now: int) -> bool:
        """Whether `grant` is revoked or has expired."""
        return now >= grant.body.expires or self.revocation_of(grant.hash) is not None

    def find(self, text: str) -> Signed[Grant]:
        """The grant whose id or hash begins with `text`. Raises `NotFoundError` for none, or several."""
        found = [grant for grant in self.grants if is_beginning(text, grant.body.id) or is_beginning(text, grant.hash)]
        if len(found) != 1:
            raise NotFoundError("no grant, or more than one, begins like this: see `carnet grants`")
        return found[0]

    def readers(self, compartment: CompartmentId, *, now: int) -> list[Signed[Grant]]:
        """The grants under which `compartment` is read now, or will be; the key service keeps keys under no others."""
        grants = [grant for grant in self.grants if grant.hash in self.at_keyservice]
        return covering_grants(compartment, grants=grants, revocations=self.revocations, now=now)


def load_grants(session: Session, access: RecordAccess) -> GrantBook:
    """The book of the patient's own record.

    1. Every grant was signed by a device of the patient; one that the device signed after it was shut out is void.
    2. Every revocation was signed by a device of the patient, and names a grant of this record.
    3. Nothing seen before is missing, nor anything to which the newest epochs commit.

    Raises a `DataError` or a `TransportError`.
    """
    if access.grant is not None:
        raise AssertionError("internal: only the patient keeps a book of grants")
    views = session.ask_both(lambda server: server.get(f"/v1/records/{access.record}/grants", GrantsView))
    # 1
    accepted = tuple(
        parse_own_grant(text, access.patient) for text in dict.fromkeys((*views.keyservice.grants, *views.vault.grants))
    )
    counting = tuple(grant for grant in accepted if _counts(grant, access.patient))
    # 2
    known = {grant.hash: grant.body.id for grant in accepted}
    revocations = tuple(
        parse_own_revocation(text, access.patient, known)
        for text in dict.fromkeys((*views.keyservice.revocations, *views.vault.revocations))
    )
    # 3
    session.pins.check_grants(access.record, grants=known, revocations=[signed.hash for signed in revocations])
    texts = dict(_names(accepted)) | dict(_names(revocations))
    at_vault = frozenset(texts[text] for text in (*views.vault.grants, *views.vault.revocations))
    at_keyservice = frozenset(texts[text] for text in (*views.keyservice.grants, *views.keyservice.revocations))
    counted = [*_names(counting), *_names(revocations)]
    book = GrantBook(
        accepted=accepted,
        grants=counting,
        revocations=revocations,
        at_vault=at_vault,
        at_keyservice=at_keyservice,
        lacking_at_vault=tuple(text for text, name in counted if name not in at_vault),
        lacking_at_keyservice=tuple(text for text, name in counted if name not in at_keyservice),
    )
    _verify_commitments(session, access, book)
    return book


def send_lacking(session: Session, record: RecordId, book: GrantBook) -> None:
    """Tell each server of every grant that is revoked and of whose revocation it shows none.

    A grant that one server alone shows is not sent on by itself: it may lack sealed keys or capsules, and lets nobody
    in as it is. Where its revocation goes to the other server, it goes before it; a server that takes neither, for
    another grant has that id or there is no room, lets nobody in under it, and that holds up nothing. One that does
    not count goes nowhere. Raises a `TransportError`.
    """
    counting = {grant.hash: grant for grant in book.grants}
    for server, shown in ((session.vault, book.at_vault), (session.keyservice, book.at_keyservice)):
        told = {revocation.body.grant for revocation in book.revocations if revocation.hash in shown}
        due = {each.body.grant: each for each in book.revocations if each.body.grant not in told}
        texts = [sign_again(session, revocation).text for grant, revocation in due.items() if grant in shown]
        for start in range(0, len(texts), MAX_STATEMENTS_PER_REQUEST):
            _tell(server, record, *texts[start : start + MAX_STATEMENTS_PER_REQUEST])
        for name, revocation in due.items():
            if name in counting and name not in shown:
                _try_to_tell(server, record, counting[name].text, sign_again(session, revocation).text)


def _names(statements: Sequence[Signed[Grant]] | Sequence[Signed[Revocation]]) -> list[tuple[str, StatementHash]]:
    return [(signed.text, signed.hash) for signed in statements]


def _tell(server: ServerClient, record: RecordId, *texts: str) -> None:
    server.post(statements_path(record), RecordUpdate(statements=texts, sealed_keys=(), capsules=()), Accepted)


def _try_to_tell(server: ServerClient, record: RecordId, *texts: str) -> None:
    try:
        _tell(server, record, *texts)
    except (UnavailableError, RateLimitedError, NoSpaceError):
        raise
    except RefusalError:
        return


def sign_again(session: Session, revocation: Signed[Revocation]) -> Signed[Revocation]:
    """The same revocation by this device, now: a server takes none that is old, or of a device that was shut out."""
    now = session.clock()
    if revocation.body.device == session.device and now - revocation.body.issued_at <= ADMISSION_WINDOW_SECONDS:
        return revocation
    return session.sign(revocation.body.model_copy(update={"device": session.device, "issued_at": now}))


def statements_path(record: RecordId) -> str:
    """Where statements about `record` go."""
    return f"/v1/records/{record}/statements"


def parse_own_grant(text: str, patient: Person) -> Signed[Grant]:
    """The grant in `text`, which a device of `patient` signed, for their record. Raises `VerificationError`."""
    try:
        signed = Signed.parse(text, Grant)
        _verify_own(signed, signed.body.record, signed.body.device, patient)
    except ProtocolError as error:
        raise VerificationError(f"a server shows a grant that is not yours ({error}): ask its operator") from error
    return signed


def parse_own_revocation(text: str, patient: Person, known: Mapping[StatementHash, GrantId]) -> Signed[Revocation]:
    """The revocation in `text`, which a device of `patient` signed, of one of the `known` grants.

    Raises `VerificationError`.
    """
    try:
        signed = Signed.parse(text, Revocation)
        _verify_own(signed, signed.body.record, signed.body.device, patient)
    except ProtocolError as error:
        raise VerificationError(f"a server shows a revocation that is not yours ({error}): ask its operator") from error
    if known.get(signed.body.grant) != signed.body.grant_id:
        raise VerificationError("a server shows a revocation of a grant that it does not show: ask its operator")
    return signed


def _verify_own(
    signed: Signed[Grant] | Signed[Revocation], record: RecordId, device: StatementHash, patient: Person
) -> None:
    """Check that a device of `patient` signed it; whether it counted then is another question."""
    enrolled = patient.devices.get(device)
    if record.patient() != patient.identity or enrolled is None:
        raise SignatureError("signed by a device that you never enrolled")
    signed.verify(enrolled.statement.body.device_key)


def _counts(grant: Signed[Grant], patient: Person) -> bool:
    return not patient.devices[grant.body.device].is_void_at(grant.body.issued_at)


def _verify_commitments(session: Session, access: RecordAccess, book: GrantBook) -> None:
    """Step 3 of `load_grants`, for the newest epochs that a device made while it counted.

    They commit to what the key service had. What it lacks since then may still be at the vault, behind the rest.
    """
    keys = session.keyring.account_kem_keys()
    for compartment in access.compartments.values():
        if not compartment.is_trusted:
            continue
        try:
            verify_readers(
                compartment.newest,
                grants=book.decided_grants,
                revocations=book.decided_revocations,
                account_kem_keys=keys,
            )
        except RollbackError:
            verify_readers(
                compartment.newest, grants=book.accepted, revocations=book.revocations, account_kem_keys=keys
            )
