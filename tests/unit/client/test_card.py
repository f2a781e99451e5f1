"""The service card: taken from where a person says, pinned, replaced by its own key alone."""

from pathlib import Path

import httpx2
import pytest

from carnet.card import check_card_key, fetch_card, load_card, parse_card, pin_card
from carnet.errors import AnswerError, HomeError, RollbackError, UnreachableError, UsageError, VerificationError
from carnet.home import Home
from carnet_protocol.ids import Fingerprint
from carnet_protocol.signing import Signer
from carnet_protocol.statements import ServiceCard, Signed
from tests.support.people import Deployment, Dice

DEPLOYMENT = Deployment.make(Dice("card"))
CARD = DEPLOYMENT.card


def card(signer: Signer = DEPLOYMENT.card_key, **change: object) -> Signed[ServiceCard]:
    return Signed.sign(CARD.body.model_copy(update=change), signer)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_parse_card_takes_a_card_with_white_space_around() -> None:
    assert parse_card(f"\n{CARD.text}\n").hash == CARD.hash


@pytest.mark.parametrize(
    "text",
    ["", "x", "a.b.c", CARD.text[:-1], CARD.text + "A", CARD.text.replace(".", "", 1), "é" + CARD.text],
    ids=["nothing", "a word", "no card", "cut", "extended", "two parts", "not ascii"],
)
def test_parse_card_rejects_what_is_no_card(text: str) -> None:
    with pytest.raises(VerificationError):
        parse_card(text)


def test_parse_card_rejects_a_card_signed_by_another_key() -> None:
    with pytest.raises(VerificationError):
        parse_card(card(Dice("other").signer()).text)


def test_card_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "card.jws").write_text(CARD.text)
    assert fetch_card(str(tmp_path / "card.jws")).hash == CARD.hash


def test_a_missing_file_is_a_home_error(tmp_path: Path) -> None:
    with pytest.raises(HomeError):
        fetch_card(str(tmp_path / "none"))


def connect(content: bytes) -> httpx2.Client:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=httpx2.ByteStream(content)))
    return httpx2.Client(transport=transport)


def test_card_comes_from_a_server() -> None:
    content = f'{{"card":"{CARD.text}"}}'.encode()
    asked: list[str] = []

    def open_client(origin: str) -> httpx2.Client:
        asked.append(origin)
        return connect(content)

    assert fetch_card("http://127.0.0.1:7801/", open_client=open_client).hash == CARD.hash
    assert asked == ["http://127.0.0.1:7801"]


@pytest.mark.parametrize("content", [b"", b"<html>", b"x" * 2**20])
def test_what_is_no_server_of_carnet_is_refused(content: bytes) -> None:
    with pytest.raises(AnswerError):
        fetch_card("https://vault.example", open_client=lambda _: connect(content))


def test_a_server_that_is_away_is_unreachable() -> None:
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("x")

    with pytest.raises(UnreachableError):
        fetch_card("https://vault.example", open_client=lambda _: httpx2.Client(transport=httpx2.MockTransport(fail)))


@pytest.mark.parametrize("source", ["http://vault.example", "https://vault.example/path", "ftp://x", "https://U@x"])
def test_a_card_never_comes_over_plain_http(source: str) -> None:
    with pytest.raises(UsageError):
        fetch_card(source, open_client=lambda _: connect(b""))


def test_pin_card_keeps_the_first(home: Home) -> None:
    pin_card(home, CARD)
    pin_card(home, CARD)
    assert load_card(home).hash == CARD.hash


def test_a_card_of_a_key_that_the_person_was_not_told_is_refused() -> None:
    check_card_key(CARD, CARD.body.card_key.fingerprint())
    with pytest.raises(VerificationError, match="told"):
        check_card_key(CARD, Fingerprint(bytes(32)))


def test_pin_card_takes_a_later_card_of_the_same_key(home: Home) -> None:
    pin_card(home, CARD)
    later = card(serial=2, name="Tests, moved")
    pin_card(home, later)
    assert load_card(home).hash == later.hash


@pytest.mark.parametrize("serial", [1, 2])
def test_pin_card_refuses_an_older_card(home: Home, serial: int) -> None:
    pin_card(home, card(serial=2))
    with pytest.raises(RollbackError):
        pin_card(home, card(serial=serial, name="Another"))
    assert load_card(home).body.serial == 2


def test_pin_card_refuses_another_card_key(home: Home) -> None:
    pin_card(home, CARD)
    other = Dice("thief").signer()
    with pytest.raises(VerificationError, match="another deployment"):
        pin_card(home, card(other, card_key=other.public_key, serial=9))
    assert load_card(home).hash == CARD.hash
