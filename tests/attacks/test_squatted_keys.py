"""Public keys are known to others: who registers another's key as their own takes nothing and stops nobody (P04, P14).

A later identity statement names a root key, and a device statement a device key, without a proof that whoever brings it
holds the private half. Mallory, who sees the public one in time, is the first to register it.
"""

import secrets

import httpx2
import pytest

from carnet.access import open_access
from carnet.errors import RefusedError, UnauthenticatedError
from carnet.identity import make_identity, register, renew_account_key
from carnet.keys import RecoverySecret
from carnet.people import verify_bundle
from carnet.recovery import restore
from carnet.session import open_servers
from carnet.transport import KeySigner, ServerClient, ServerName
from carnet_protocol.api import PersonView, RecoveryView, ServerStatus
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.requests import KeyId
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Device, Identity, Recovery, Role, Signed
from carnet_server.deployment import Deployment as ServerDeployment
from carnet_server.deployment import Moment
from carnet_server.officers.accept import enrol_officer
from tests.support.anonymous import post_people
from tests.support.client import PASSPHRASE, Wire, titles
from tests.support.people import Dice, OwnPerson, make_person
from tests.support.story import Story


def _throw_away(story: Story, name: str, *wires: Wire) -> OwnPerson:
    """A person of Mallory's whom the servers behind `wires` know."""
    person = make_person(Dice(name), Role.PATIENT, at=story.world.clock())
    for wire in wires:
        assert post_people(wire, person.statements()).status_code == 200
    return person


def _take(wire: Wire, person: OwnPerson, root_key: Ed25519PublicKey) -> None:
    """Make `root_key` the root key of Mallory's `person`."""
    body = person.current.body.model_copy(
        update={"serial": 1, "founding": person.identity, "previous": person.current.hash, "root_key": root_key}
    )
    assert post_people(wire, [Signed.sign(body, person.root).text]).status_code == 200


def _root_key(story: Story, reader: ServerClient) -> Ed25519PublicKey:
    """Alice's newest root key, as a server shows it to `reader`."""
    view = reader.get(f"/v1/people/{story.alice.identity}", PersonView)
    return Signed.parse(view.person.identities[-1], Identity).body.root_key


def _servers(story: Story, key: Signer) -> tuple[ServerClient, ServerClient]:
    """The vault and the key service, for requests that a root key or an officer's signs."""
    world = story.world
    signer = KeySigner(KeyId(key.public_key.fingerprint().raw), key.sign)
    return open_servers(world.own.card, clock=world.clock, open_client=world.open_client, signer=signer)


def test_a_reader_who_is_first_with_the_new_root_key_at_the_vault_stops_no_renewal(own_story: Story) -> None:
    story, world = own_story, own_story.world
    sybil = _throw_away(story, "sybil", world.vault)
    taken: list[str] = []

    def be_first(request: httpx2.Request) -> None:
        if request.method == "POST" and request.url.path == "/v1/people" and not taken:
            taken.append(request.url.path)
            _take(world.vault, sybil, _root_key(story, story.bob.keyservice))

    world.vault.before = be_first
    kit = RecoverySecret(secrets.token_bytes(32))
    renew_account_key(story.alice, story.secrets["alice"], new_kit=kit)
    world.vault.before = None
    assert taken
    assert titles(story.alice, story.access(story.alice)) == ["letter", "result", "secret"]
    renew_account_key(story.alice, kit)
    assert story.alice.outbox.is_empty()


def test_whose_root_key_others_registered_too_gets_their_own_record_back(own_story: Story) -> None:
    story, world = own_story, own_story.world
    root = story.secrets["alice"].derive_root_signer()
    for name in ("one", "two", "three"):
        for wire in (world.vault, world.keyservice):
            _take(wire, _throw_away(story, f"{name}-{wire is world.vault}", wire), root.public_key)
    restored = restore(
        world.home("restored"),
        world.own.card,
        story.secrets["alice"],
        passphrase=PASSPHRASE,
        device_name="new laptop",
        **world.options(),
    )
    world.sessions.append(restored)
    assert restored.identity == story.alice.identity
    assert titles(restored, open_access(restored, restored.record)) == ["letter", "result", "secret"]


def test_another_persons_recovery_statement_does_not_make_their_key_ones_own(own_story: Story) -> None:
    story, world = own_story, own_story.world
    root = story.secrets["alice"].derive_root_signer()
    sybil = _throw_away(story, "sybil", world.keyservice)
    _take(world.keyservice, sybil, root.public_key)
    _, keyservice = _servers(story, root)
    (text,) = keyservice.get("/v1/recovery", RecoveryView).recoveries
    assert post_people(world.keyservice, [text]).status_code == 200  # it was accepted before: of Alice
    forged = Signed.parse(text, Recovery).body.model_copy(
        update={"identity": sybil.identity, "identity_statement": sybil.current.hash}
    )
    assert post_people(world.keyservice, [Signed.sign(forged, sybil.root).text]).status_code == 400
    view = keyservice.get("/v1/recovery", RecoveryView)
    assert view.person.identities[0] == verify_bundle(story.alice.identity, view.person).chain[0].text


def test_who_has_not_come_to_a_server_yet_finds_their_place_free(own_story: Story) -> None:
    story, world = own_story, own_story.world
    carol = make_identity(
        world.home("carol"),
        world.own.card,
        Role.PRACTITIONER,
        passphrase=PASSPHRASE,
        device_name="laptop",
        **world.options(),
    )
    world.sessions.append(carol)
    recovery_secret = carol.keyring.body.recovery_secret
    assert recovery_secret is not None
    for wire in (world.vault, world.keyservice):
        sybil = _throw_away(story, f"sybil-{wire is world.vault}", wire)
        _take(wire, sybil, recovery_secret.derive_root_signer().public_key)
    register(carol)


@pytest.mark.parametrize("name", list(ServerName))
def test_an_officer_whose_key_others_registered_as_a_root_key_is_let_in(own_story: Story, name: ServerName) -> None:
    story, world = own_story, own_story.world
    officer = Signer(secrets.token_bytes(32))
    own, server = world.own, world.own.vault if name is ServerName.VAULT else world.own.keyservice
    entry = own.card.body.vault if name is ServerName.VAULT else own.card.body.keyservice
    with world.engines[name].begin() as connection:
        deployment = ServerDeployment.of(own.card, entry, server.log_key)
        enrol_officer(Moment(connection, world.clock(), deployment), officer.public_key, by=None)
    _take(world.wires[server.origin], _throw_away(story, "sybil", world.wires[server.origin]), officer.public_key)
    client = _servers(story, officer)[0 if name is ServerName.VAULT else 1]
    assert client.get("/v1/admin/status", ServerStatus).officers
    with pytest.raises(RefusedError):
        client.get("/v1/recovery", RecoveryView)


def test_a_device_key_that_another_registered_too_stays_its_owners(own_story: Story) -> None:
    story, world = own_story, own_story.world
    alice = story.alice
    own = alice.keyring.body.device_signer
    squatters = _throw_away(story, "sybil", world.vault, world.keyservice)
    body = Device(
        identity=squatters.identity,
        device_key=own.public_key,
        enrolled_by=None,
        sealed_name=bytes(104),
        issued_at=world.clock(),
    )
    taken = Signed.sign(body, squatters.root)
    for wire in (world.vault, world.keyservice):
        assert post_people(wire, [taken.text]).status_code == 200
    assert titles(alice, story.access(alice)) == ["letter", "result", "secret"]
    # Nor does Mallory's removal of "her" device reach Alice's.
    removal = squatters.remove(squatters.device, since=world.clock())
    forged = removal.body.model_copy(update={"device": taken.hash})
    for wire in (world.vault, world.keyservice):
        assert post_people(wire, [Signed.sign(forged, squatters.root).text]).status_code == 200
    assert titles(alice, story.access(alice)) == ["letter", "result", "secret"]
    signer = KeySigner(KeyId(taken.hash.raw), Signer(secrets.token_bytes(32)).sign)
    for client in open_servers(world.own.card, clock=world.clock, open_client=world.open_client, signer=signer):
        with pytest.raises(UnauthenticatedError):
            client.get(f"/v1/people/{alice.identity}", PersonView)
