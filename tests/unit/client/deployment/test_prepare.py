"""Preparing a folder: made once, kept, and signed anew only when the truth changed."""

import stat
import tomllib
from pathlib import Path

import pytest

from carnet.card import parse_card, pin_card
from carnet.deployment.folder import SERVERS
from carnet.deployment.prepare import Deployment, prepare_deployment
from carnet.deployment.registrar import load_or_make_registrar_key
from carnet.errors import HomeError, UsageError, VerificationError
from carnet.home import Home
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.signing import Signer
from carnet_protocol.suites import Suite

REGISTRAR = Signer(bytes(range(32))).public_key


def prepare(path: Path, **changes: object) -> Deployment:
    return prepare_deployment(path, registrar_key=lambda _: REGISTRAR, **changes)  # type: ignore[arg-type]  # as given


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_folder_holds_what_both_servers_need(tmp_path: Path) -> None:
    deployment = prepare(tmp_path / "data")
    body = deployment.card.body
    for server, entry in (("vault", body.vault), ("keyservice", body.keyservice)):
        settings = tomllib.loads((tmp_path / "data" / server / "settings.toml").read_text())
        assert settings["origin"] == entry.origin
        assert settings["service_card"] == str(deployment.folder.card)
        assert settings["data_dir"] == str(tmp_path / "data" / server)
        for name, key in (("server.key", entry.key), ("log.key", entry.log_key)):
            seed = (tmp_path / "data" / server / "keys" / name).read_bytes()
            assert Signer(seed).public_key == Ed25519PublicKey(key.raw)
    assert len((tmp_path / "data/keyservice/keys/master-1.key").read_bytes()) == 32
    assert body.registrars == (REGISTRAR,)


def test_folder_with_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letter.pdf").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"letter\.pdf"):
        prepare(tmp_path)
    assert contents(tmp_path) == {"letter.pdf": b"somebody's"}


def test_folder_that_was_left_half_made_is_finished(tmp_path: Path) -> None:
    (tmp_path / "card.key").write_bytes(bytes(32))
    (tmp_path / "vault").mkdir()
    deployment = prepare(tmp_path)
    assert deployment.fingerprint == Signer(bytes(32)).public_key.fingerprint()
    (tmp_path / "notes.txt").write_text("of its operator")
    assert prepare(tmp_path).card == deployment.card


def test_card_proves_itself(tmp_path: Path) -> None:
    deployment = prepare(tmp_path)
    card = parse_card((tmp_path / "card.jws").read_text())
    assert card == deployment.card
    assert deployment.fingerprint == Signer((tmp_path / "card.key").read_bytes()).public_key.fingerprint()


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    prepare(tmp_path / "data")
    for path in (tmp_path / "data").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o644 if path.name == "card.jws" else 0o700 if path.is_dir() else 0o600), path


def test_second_time_changes_nothing(tmp_path: Path) -> None:
    prepare(tmp_path)
    before = contents(tmp_path)
    prepare(tmp_path)
    assert contents(tmp_path) == before


def test_moved_servers_get_the_next_card_of_the_same_key(tmp_path: Path) -> None:
    first = prepare(tmp_path)
    keys = {name: raw for name, raw in contents(tmp_path).items() if name.endswith(".key")}
    moved = prepare(tmp_path, name="localhost")
    assert moved.card.body.serial == first.card.body.serial + 1
    assert moved.card.body.card_key == first.card.body.card_key
    assert moved.card.body.vault.origin == f"http://localhost:{first.address.vault_port}"
    assert {name: raw for name, raw in contents(tmp_path).items() if name.endswith(".key")} == keys


def test_client_takes_the_next_card(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    pin_card(home, prepare(tmp_path / "data").card)
    pin_card(home, prepare(tmp_path / "data", name="localhost").card)


def test_registrar_is_asked_once(tmp_path: Path) -> None:
    prepare(tmp_path)

    def refuse(path: Path) -> Ed25519PublicKey:
        raise AssertionError(path)

    assert prepare_deployment(tmp_path, registrar_key=refuse).card.body.registrars == (REGISTRAR,)


def test_refused_address_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        prepare(tmp_path / "data", listen="0.0.0.0")  # noqa: S104  refused
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("card.jws", b"nonsense", VerificationError),
        ("vault/keys/server.key", b"", HomeError),
        ("deployment.json", b"{}", HomeError),
    ],
)
def test_changed_file_is_told_and_not_replaced(
    tmp_path: Path, name: str, content: bytes, error: type[Exception]
) -> None:
    prepare(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        prepare(tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="cannot be made"):
        prepare(tmp_path / "file" / "data")


def test_card_key_may_be_kept_elsewhere(tmp_path: Path) -> None:
    first = prepare(tmp_path)
    (tmp_path / "card.key").unlink()
    assert prepare(tmp_path) == first
    assert not (tmp_path / "card.key").exists()


def test_card_key_is_asked_for_when_an_address_changed(tmp_path: Path) -> None:
    first = prepare(tmp_path)
    seed = (tmp_path / "card.key").read_bytes()
    (tmp_path / "card.key").unlink()
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"bring .*card\.key back"):
        prepare(tmp_path, name="localhost")
    assert contents(tmp_path) == before
    (tmp_path / "card.key").write_bytes(seed)
    assert prepare(tmp_path, name="localhost").card.body.serial == first.card.body.serial + 1


@pytest.mark.parametrize("content", [b"short", bytes(32)])
def test_other_card_key_signs_nothing(tmp_path: Path, content: bytes) -> None:
    prepare(tmp_path)
    (tmp_path / "card.key").write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(HomeError, match=r"card\.key"):
        prepare(tmp_path, name="localhost")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("has_card", [True, False])
@pytest.mark.parametrize(
    "name",
    [*(f"{server}/keys/{key}.key" for server in SERVERS for key in ("server", "log")), "keyservice/keys/master-1.key"],
)
def test_key_that_is_gone_is_not_made_again(tmp_path: Path, name: str, has_card: bool) -> None:
    prepare(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / "vault" / "database.sqlite").touch()
    if not has_card:
        (tmp_path / "card.jws").unlink()
    before = contents(tmp_path)
    with pytest.raises(HomeError, match="bring"):
        prepare(tmp_path)
    assert contents(tmp_path) == before


def test_card_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    prepare(tmp_path)
    (tmp_path / "card.jws").unlink()
    (tmp_path / "keyservice" / "database.sqlite").touch()
    with pytest.raises(HomeError, match=r"card\.jws is gone"):
        prepare(tmp_path)


def test_master_key_may_be_a_later_one(tmp_path: Path) -> None:
    first = prepare(tmp_path)
    keys = tmp_path / "keyservice" / "keys"
    (keys / "master-1.key").rename(keys / "master-2.key")
    assert prepare(tmp_path) == first
    assert not (keys / "master-1.key").exists()


def test_registrar_of_one_machine_is_made_once(tmp_path: Path) -> None:
    key = load_or_make_registrar_key(tmp_path / "registrar")
    assert load_or_make_registrar_key(tmp_path / "registrar") == key
    assert stat.S_IMODE((tmp_path / "registrar" / "passphrase").stat().st_mode) == 0o600


def test_suites_move_on_with_the_next_card_and_never_back(tmp_path: Path) -> None:
    first = prepare(tmp_path).card.body
    assert (first.suite_floor, first.write_suite) == (1, 1)
    second = prepare(tmp_path, write=Suite(2)).card.body
    assert (second.suite_floor, second.write_suite, second.serial) == (1, 2, 2)
    third = prepare(tmp_path, floor=Suite(2)).card.body
    assert (third.suite_floor, third.write_suite, third.serial) == (2, 2, 3)
    before = contents(tmp_path)
    for changes in ({"floor": Suite(1)}, {"write": Suite(1)}):
        with pytest.raises(UsageError):
            prepare(tmp_path, **changes)
    assert contents(tmp_path) == before
