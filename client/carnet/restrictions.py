"""What only restricts, a revocation or a removal: made from what one server shows, told to each server by itself.

It lets nobody in, so it needs no agreement of the two servers: one that lies, or is away, keeps it from itself alone.
A server is believed here only as far as its statements prove themselves together with what this client holds; it may
leave something out, and then the other one is asked.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from carnet.errors import CarnetError, VerificationError
from carnet.grant_book import GrantBook, parse_own_grant, parse_own_revocation
from carnet.identity import PEOPLE_PATH
from carnet.outbox import Step, Update
from carnet.people import verify_bundle
from carnet.receipts import keep_receipt
from carnet.session import Both, Session
from carnet.transport import ServerClient
from carnet_protocol.api import GrantsView, PersonView
from carnet_protocol.authority import Person, verify_person
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.statements import Grant, Receipt, Removal, Revocation, Signed


def find_own_grant(session: Session, text: str) -> tuple[Signed[Grant], GrantBook]:
    """The own grant whose id or hash begins with `text`, and the book of the server that shows it.

    The key service is asked first, the vault where that one does not show it. Raises `NotFoundError`, or the error of
    the key service where it could not be asked.
    """
    failure: CarnetError | None = None
    for server in (session.keyservice, session.vault):
        try:
            book = _load_shown(session, server)
            return book.find(text), book
        except CarnetError as error:
            failure = failure or error
    raise failure or AssertionError("internal: no server was asked")


def load_shown_grants(session: Session) -> GrantBook:
    """The book as the key service alone shows it, or else the vault; see `carnet.grant_book` for what both prove.

    What does not prove itself is left out, and no server is known to lack anything. Raises the key service's error if
    neither can be asked.
    """
    try:
        return _load_shown(session, session.keyservice)
    except CarnetError as error:
        with suppress(CarnetError):
            return _load_shown(session, session.vault)
        raise error from None


def find_own_person(session: Session, servers: Iterable[ServerClient]) -> Person:
    """The person of this session as the keyring holds them, with all that each of `servers` proves beyond that.

    A server that cannot be asked, or proves nothing, is passed over.
    """
    person = verify_bundle(session.identity, session.keyring.body.person)
    for server in servers:
        try:
            view = server.get(f"{PEOPLE_PATH}/{session.identity}", PersonView)
            person = _join(person, verify_bundle(session.identity, view.person))
        except CarnetError:
            continue
    return person


def tell_each(session: Session, path: str, update: Update) -> Both[Signed[Receipt] | CarnetError]:
    """Bring `update` to both servers at the same time, each by itself. Returns the last receipt of each, or its error.

    What cannot be delivered is kept and sent with the next command.
    """
    entries = {name: session.outbox.keep([Step(name, path, update)]) for name in session.servers}

    def tell(server: ServerClient) -> Signed[Receipt]:
        receipt = session.outbox.deliver(entries[server.name])[-1][-1]
        keep_receipt(session.state, receipt)
        return receipt

    return session.try_both(tell)


def _load_shown(session: Session, server: ServerClient) -> GrantBook:
    person = find_own_person(session, [server])
    view = server.get(f"/v1/records/{session.record}/grants", GrantsView)
    accepted: list[Signed[Grant]] = []
    for text in view.grants:
        with suppress(VerificationError):
            accepted.append(parse_own_grant(text, person))
    known = {grant.hash: grant.body.id for grant in accepted}
    revocations: list[Signed[Revocation]] = []
    for text in view.revocations:
        with suppress(VerificationError):
            revocations.append(parse_own_revocation(text, person, known))
    shown = frozenset((*known, *(revocation.hash for revocation in revocations)))
    return GrantBook(
        accepted=tuple(accepted),
        grants=tuple(
            grant for grant in accepted if not person.devices[grant.body.device].is_void_at(grant.body.issued_at)
        ),
        revocations=tuple(revocations),
        at_vault=shown if server is session.vault else frozenset(),
        at_keyservice=shown if server is session.keyservice else frozenset(),
        lacking_at_vault=(),
        lacking_at_keyservice=(),
    )


def _join(known: Person, shown: Person) -> Person:
    """`known` with what `shown`, of the same identity, proves beyond it; `known` alone where they part."""
    shorter, longer = sorted((known.chain, shown.chain), key=len)
    if longer[len(shorter) - 1].hash != shorter[-1].hash:  # each names the one before
        return known
    root_keys = list(dict.fromkeys(signed.body.root_key for signed in longer))
    # Both lists stand in the order of the root keys.
    devices = sorted((known.devices | shown.devices).values(), key=lambda device: device.generation)
    removals = {removal.hash: removal for removal in (*known.removals, *shown.removals)}
    in_order = sorted(removals.values(), key=lambda removal: _generation(removal, root_keys))
    try:
        return verify_person(known.identity, longer, [device.statement for device in devices], in_order)
    except ProtocolError:
        return known


def _generation(removal: Signed[Removal], root_keys: Sequence[Ed25519PublicKey]) -> int:
    for generation, root_key in enumerate(root_keys):
        with suppress(ProtocolError):
            removal.verify(root_key)
            return generation
    raise AssertionError("internal: a verified removal that no root key signed")
