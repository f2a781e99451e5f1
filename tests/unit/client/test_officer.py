"""An officer: a key that opens for nobody else, and what both servers do for it once it is enrolled."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from carnet.errors import (
    AnswerError,
    ConflictError,
    DataError,
    HomeTakenError,
    NoHomeError,
    RefusedError,
    UnauthenticatedError,
    UnlockError,
    UsageError,
    VerificationError,
)
from carnet.home import Home
from carnet.officer import (
    OFFICER_FILE,
    Officer,
    format_officer_key,
    load_officer_public_key,
    make_officer,
    open_officer,
    parse_officer_key,
)
from carnet.registrar import make_registrar, open_registrar
from carnet.transport import ServerClient, ServerName
from carnet_protocol.encoding import format_base64url, format_canonical_json
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_server.deployment import Deployment, Moment
from carnet_server.officers.accept import enrol_officer
from tests.support.client import PASSPHRASE, ClientWorld
from tests.support.people import NOW, Dice

DICE = Dice("officer")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "officer")


@pytest.fixture
def officer(home: Home) -> Officer:
    return make_officer(home, passphrase=PASSPHRASE, now=NOW)


def test_the_key_is_there_after_opening_again(officer: Officer, home: Home) -> None:
    assert open_officer(home, passphrase=PASSPHRASE).public_key == officer.public_key
    assert load_officer_public_key(home) == officer.public_key


def test_files_are_their_owners_alone(officer: Officer, home: Home) -> None:
    assert officer.public_key
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    for name in (OFFICER_FILE, "device-secret"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o600


def test_another_passphrase_does_not_open_it(officer: Officer, home: Home) -> None:
    assert officer.public_key
    with pytest.raises(UnlockError, match="does not open this key"):
        open_officer(home, passphrase="another passphrase")


def test_another_device_secret_does_not_open_it(officer: Officer, home: Home) -> None:
    assert officer.public_key
    home.store("device-secret", bytes(32))
    with pytest.raises(UnlockError):
        open_officer(home, passphrase=PASSPHRASE)


def test_a_home_with_an_officer_is_taken(officer: Officer, home: Home) -> None:
    before = home.load(OFFICER_FILE)
    with pytest.raises(HomeTakenError):
        make_officer(home, passphrase=PASSPHRASE, now=NOW)
    assert home.load(OFFICER_FILE) == before
    assert load_officer_public_key(home) == officer.public_key


def test_a_short_passphrase_makes_nothing(home: Home) -> None:
    with pytest.raises(UsageError):
        make_officer(home, passphrase="short", now=NOW)
    assert not home.path.exists()


def test_an_empty_folder_has_no_officer(tmp_path: Path) -> None:
    with pytest.raises(NoHomeError):
        open_officer(Home(tmp_path), passphrase=PASSPHRASE)


def test_a_registrar_may_live_in_the_same_folder(home: Home) -> None:
    registrar = make_registrar(home, passphrase=PASSPHRASE, now=NOW)
    officer = make_officer(home, passphrase=PASSPHRASE, now=NOW)
    assert open_registrar(home, passphrase=PASSPHRASE).public_key == registrar.public_key
    assert open_officer(home, passphrase=PASSPHRASE).public_key == officer.public_key


def test_a_changed_file_is_not_used(officer: Officer, home: Home) -> None:
    assert officer.public_key
    members = json.loads(home.load(OFFICER_FILE))
    members["public_key"] = str(DICE.signer().public_key)
    home.store(OFFICER_FILE, format_canonical_json(members))
    with pytest.raises(DataError):
        open_officer(home, passphrase=PASSPHRASE)
    home.store(OFFICER_FILE, b"{}")
    with pytest.raises(VerificationError, match="backup"):
        open_officer(home, passphrase=PASSPHRASE)


def test_nothing_of_the_key_is_shown(officer: Officer, home: Home) -> None:
    seed = format_base64url(officer._signer.seed())
    assert seed.encode() not in home.load(OFFICER_FILE)
    assert seed not in repr(officer)


def test_a_key_file_is_one_line(officer: Officer) -> None:
    written = format_officer_key(officer.public_key)
    assert written == f"{officer.public_key}\n".encode()
    assert parse_officer_key(written) == officer.public_key


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 43, b"A" * 42, b"A" * 43, b"A" * 44, str(DICE.signer().public_key).encode() * 2],
    ids=["empty", "no text", "short", "of low order", "long", "two"],
)
def test_another_file_holds_no_key(data: bytes) -> None:
    with pytest.raises(UsageError, match="carnet officer init --save"):
        parse_officer_key(data)


@pytest.fixture(params=list(ServerName), ids=["vault", "keyservice"])
def server(world: ClientWorld, request: pytest.FixtureRequest) -> ServerClient:
    """Each server, as somebody else talks to it."""
    return world.patient("alice").servers[request.param]


@pytest.fixture
def enrolled(world: ClientWorld, server: ServerClient, officer: Officer) -> Officer:
    """The officer, whom whoever holds the machine enrolled."""
    keys = world.own.vault if server.name is ServerName.VAULT else world.own.keyservice
    with world.engines[server.name].begin() as connection:
        deployment = Deployment.of(world.own.card, server.entry, keys.log_key)
        enrol_officer(Moment(connection, world.clock(), deployment), officer.public_key, by=None)
    return officer


def in_force(officer: Officer, server: ServerClient) -> list[Fingerprint]:
    return [entry.fingerprint for entry in officer.fetch_status(server).officers if entry.retired is None]


def test_an_officer_lets_another_one_in_and_shuts_them_out(enrolled: Officer, server: ServerClient) -> None:
    own, second = enrolled.public_key.fingerprint(), Officer(DICE.signer())
    theirs = second.public_key.fingerprint()
    receipt = enrolled.enrol(second.public_key, server)
    assert enrolled.enrol(second.public_key, server).body.index == receipt.body.index
    assert in_force(second, server) == [own, theirs]
    enrolled.retire(theirs, server)
    enrolled.retire(theirs, server)
    assert in_force(enrolled, server) == [own]
    with pytest.raises(UnauthenticatedError, match="if it was retired there, make a new one"):
        second.fetch_status(server)
    with pytest.raises(ConflictError, match="for good"):
        enrolled.enrol(second.public_key, server)


def test_a_key_that_is_not_enrolled_is_told_where_to_be(officer: Officer, server: ServerClient) -> None:
    program = "carnet-vault" if server.name is ServerName.VAULT else "carnet-keyservice"
    with pytest.raises(UnauthenticatedError, match=f"enrol it on that machine with `{program} officers enrol`"):
        officer.fetch_status(server)
    with pytest.raises(UnauthenticatedError):
        officer.enrol(DICE.signer().public_key, server)
    with pytest.raises(UnauthenticatedError):
        officer.retire(officer.public_key.fingerprint(), server)


def test_an_unknown_officer_is_not_retired(enrolled: Officer, server: ServerClient) -> None:
    with pytest.raises(RefusedError, match="carnet officer status"):
        enrolled.retire(DICE.signer().public_key.fingerprint(), server)


def test_what_is_no_key_is_not_enrolled(enrolled: Officer, server: ServerClient) -> None:
    with pytest.raises(UsageError):
        enrolled.enrol(Ed25519PublicKey(bytes(32)), server)


def answering(members: dict[str, Any]) -> Callable[[httpx2.Request], httpx2.Response]:
    """Answers whatever is asked with `members`."""
    content = json.dumps(members).encode()
    return lambda _: httpx2.Response(200, stream=httpx2.ByteStream(content))


def test_what_no_receipt_proves_is_not_believed(world: ClientWorld, enrolled: Officer, server: ServerClient) -> None:
    wire = world.wires[server.origin]
    wire.before = answering({"receipts": []})
    with pytest.raises(AnswerError):
        enrolled.enrol(DICE.signer().public_key, server)
    with pytest.raises(AnswerError):
        enrolled.retire(enrolled.public_key.fingerprint(), server)
    wire.before = answering({"receipts": ["e30.e30.AA"]})
    with pytest.raises(VerificationError):
        enrolled.enrol(DICE.signer().public_key, server)


def test_the_status_of_another_server_is_not_shown(world: ClientWorld, enrolled: Officer, server: ServerClient) -> None:
    status = enrolled.fetch_status(server).model_copy(update={"server": enrolled.public_key.fingerprint()})
    world.wires[server.origin].before = answering(status.model_dump(mode="json"))
    with pytest.raises(VerificationError, match="another server"):
        enrolled.fetch_status(server)
