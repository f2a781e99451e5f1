"""Local state: sealed, bound to its name and its owner, readable after a renewal."""

from pathlib import Path

import pytest

from carnet.errors import VerificationError
from carnet.home import Home
from carnet.keys import AccountKey
from carnet.state import LocalState
from carnet_protocol.ids import IdentityHash

OLD, NEW = AccountKey(b"1" * 32), AccountKey(b"2" * 32)
IDENTITY = IdentityHash(bytes(32))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


def state(home: Home, *keys: AccountKey, identity: IdentityHash = IDENTITY) -> LocalState:
    return LocalState(home, identity=identity, account_keys=lambda: keys or (OLD,))


def test_state_comes_back(home: Home) -> None:
    state(home).store("pins", {"people": {"a": 1}})
    assert state(home).load("pins") == {"people": {"a": 1}}
    assert state(home).load("nothing") is None


def test_state_lies_sealed(home: Home) -> None:
    state(home).store("pins", {"name": "Dr. Weber"})
    assert b"Weber" not in home.load("state/pins")


def test_state_opens_after_a_renewal(home: Home) -> None:
    state(home).store("pins", {"a": 1})
    assert state(home, OLD, NEW).load("pins") == {"a": 1}
    state(home, OLD, NEW).store("pins", {"a": 2})
    assert state(home, NEW).load("pins") == {"a": 2}
    with pytest.raises(VerificationError):
        state(home, OLD).load("pins")


def test_state_under_another_name_or_owner_is_refused(home: Home) -> None:
    state(home).store("pins", {"a": 1})
    home.store("state/outbox-1", home.load("state/pins"))
    with pytest.raises(VerificationError):
        state(home).load("outbox-1")
    with pytest.raises(VerificationError):
        state(home, identity=IdentityHash(b"x" * 32)).load("pins")


def test_a_changed_file_is_refused(home: Home) -> None:
    state(home).store("pins", {"a": 1})
    sealed = bytearray(home.load("state/pins"))
    sealed[-1] ^= 1
    home.store("state/pins", bytes(sealed))
    with pytest.raises(VerificationError, match="backup"):
        state(home).load("pins")


def test_a_list_grows_and_forgets_a_half_written_end(home: Home) -> None:
    for number in range(3):
        state(home).append("receipts", {"number": number})
    with (home.path / "state" / "receipts").open("ab") as file:
        file.write(b"half a li")
    assert [value["number"] for value in state(home).load_list("receipts")] == [0, 1, 2]
    assert state(home).load_list("nothing") == []


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4, 5, -4, -3, -2, -1])
def test_a_list_grows_on_after_a_cut(home: Home, kept: int) -> None:
    file = home.path / "state" / "receipts"
    for number in range(2):
        state(home).append("receipts", {"number": number})
    first, last, _ = file.read_bytes().split(b"\n")
    file.write_bytes(first + b"\n" + last[:kept])
    for number in range(2, 4):
        state(home).append("receipts", {"number": number})
    assert [value["number"] for value in state(home).load_list("receipts")] == [0, 2, 3]


def test_a_list_grows_on_after_a_cut_that_left_zeros(home: Home) -> None:
    state(home).append("receipts", {"number": 0})
    with (home.path / "state" / "receipts").open("ab") as file:
        file.write(bytes(100))
    state(home).append("receipts", {"number": 1})
    assert [value["number"] for value in state(home).load_list("receipts")] == [0, 1]


@pytest.mark.parametrize("size", [-8, -4, 0])
def test_a_whole_line_that_does_not_open_is_refused(home: Home, size: int) -> None:
    file = home.path / "state" / "receipts"
    state(home).append("receipts", {"number": 0})
    line = bytearray(file.read_bytes()[:-1])
    line[10] = ord("B" if line[10] == ord("A") else "A")  # base64 still
    file.write_bytes(bytes(line)[: size or None] + b"\n")
    state(home).append("receipts", {"number": 1})
    with pytest.raises(VerificationError, match="backup"):
        state(home).load_list("receipts")


def test_names_are_found_by_their_beginning(home: Home) -> None:
    for name in ("outbox-2", "pins", "outbox-1"):
        state(home).store(name, {})
    assert state(home).names("outbox-") == ["outbox-1", "outbox-2"]
    state(home).remove("outbox-1")
    assert state(home).names("outbox-") == ["outbox-2"]
