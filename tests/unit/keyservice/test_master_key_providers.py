"""Whoever keeps master keys keeps the contract of `master_keys/provider.py`: files, a PKCS#11 token, AWS KMS.

The token is SoftHSM2, a real one in software. KMS is a stand-in of ours, whose head says what that proves and what not.
"""

import base64
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys import MadeKey, MasterKeyProvider
from carnet_keyservice.sealing import MASTER_KEY_SIZE, Secret
from tests.support.providers import PLACES, FilePlace, Place

MAX_TOKEN_BYTES = 4096


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a provider keeps keys; none is there yet."""
    with PLACES[request.param].lay_out(tmp_path) as made:
        yield made


def is_same(one: Secret, two: MadeKey) -> bool:
    return one.is_same_as(two.key)


def refuse_load(provider: MasterKeyProvider, version: int, token: bytes) -> None:
    """Loading is refused, with a message that is more than a name."""
    with pytest.raises(MasterKeyError, match=r"\w+ \w+ \w+"):
        provider.load(version, token)


# Make


def test_a_made_key_is_fresh_and_of_its_size_and_its_token_small(place: Place) -> None:
    provider = place.open()
    made = [provider.make(version) for version in (1, 2, 7)]
    assert len({one.key.reveal() for one in made}) == 3
    assert all(len(one.key.reveal()) == MASTER_KEY_SIZE and len(one.token) <= MAX_TOKEN_BYTES for one in made)


def test_a_made_key_is_durable_for_every_instance_and_process(place: Place) -> None:
    made = place.open().make(1)
    for _ in range(2):
        assert is_same(place.open().load(1, made.token), made)
    for elsewhere in place.elsewhere(*[("load", 1, made.token)] * 2):
        assert is_same(elsewhere.key, made)


def test_a_key_that_another_process_made_is_here(place: Place) -> None:
    one, two = place.elsewhere(("make", 1, b""), ("make", 2, b""))
    provider = place.open()
    for _ in range(2):
        assert is_same(provider.load(1, one.token), one)
        assert is_same(provider.load(2, two.token), two)


def test_a_key_that_no_row_knows_yet_harms_none_that_is_made_after_it(place: Place) -> None:
    """A run was cut off between the key and the row: the next one makes the version again, as do others at once."""
    lost = place.open().make(1)
    (again,) = place.elsewhere(("make", 1, b""))
    third = place.open().make(1)
    for one in (lost, again, third):
        assert is_same(place.open().load(1, one.token), one)
    other = place.open().make(2)
    assert not any(is_same(other.key, one) for one in (lost, again, third))


def test_no_token_is_its_key(place: Place) -> None:
    made = place.open().make(1)
    raw = made.key.reveal()
    for shown in (raw, raw.hex().encode(), base64.b64encode(raw)):
        assert shown not in made.token


# Load


def test_the_token_of_another_version_is_refused(place: Place) -> None:
    provider = place.open()
    one, two = provider.make(1), provider.make(2)
    if isinstance(place, FilePlace):
        # Its token is empty: the version alone names the file.
        assert is_same(provider.load(2, one.token), two)
    else:
        refuse_load(provider, 2, one.token)
        refuse_load(provider, 1, two.token)
    refuse_load(provider, 3, one.token)
    assert is_same(provider.load(1, one.token), one)


def test_a_token_that_was_changed_anywhere_is_refused(place: Place) -> None:
    provider = place.open()
    made = provider.make(1)
    wrong = [
        made.token[:position] + bytes([made.token[position] ^ 1]) + made.token[position + 1 :]
        for position in range(len(made.token))
    ]
    wrong += [
        made.token[:-1],
        made.token + b"\0",
        made.token[:4],
        made.token * 2,
        b"x",
        bytes(96),
        b"P11\x01",
        b"KMS\x01",
    ]
    for token in wrong:
        if token != made.token:
            refuse_load(provider, 1, token)
    assert is_same(provider.load(1, made.token), made)


@pytest.mark.parametrize("other", PLACES)
def test_the_token_of_another_kind_of_provider_is_refused(place: Place, other: str, tmp_path: Path) -> None:
    if other in (place.name, "file"):
        refuse_load(place.open(), 1, b"")
        return
    (tmp_path / "other").mkdir()
    provider = place.open()
    made = provider.make(1)
    with PLACES[other].lay_out(tmp_path / "other") as there:
        token = there.open().make(1).token
    refuse_load(provider, 1, token)
    assert is_same(place.open().load(1, made.token), made)


def test_key_services_that_share_a_place_have_keys_of_their_own(place: Place) -> None:
    ours, theirs = place.open(), place.open("another key service")
    one, two = ours.make(1), theirs.make(1)
    assert not is_same(one.key, two)
    if not isinstance(place, FilePlace):
        refuse_load(theirs, 1, one.token)
        refuse_load(ours, 1, two.token)
    theirs.destroy(1, two.token)
    assert is_same(place.open().load(1, one.token), one)


def test_several_threads_make_and_load_at_once(place: Place) -> None:
    provider = place.open()
    first = provider.make(1)
    gate = threading.Barrier(8)
    made: list[tuple[int, MadeKey]] = []
    wrong: list[object] = []

    def work(version: int) -> None:
        gate.wait()
        try:
            made.append((version, provider.make(version)))
            wrong.extend(() if is_same(provider.load(1, first.token), first) else ("another key",))
        except MasterKeyError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(version,)) for version in (1, 1, 2, 2, 3, 3, 4, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(made) == 8
    later = place.open()
    assert all(is_same(later.load(version, one.token), one) for version, one in made)
    assert is_same(later.load(1, first.token), first)


# Destroy


def test_a_destroyed_key_is_loaded_by_nobody_and_the_others_stay(place: Place) -> None:
    provider = place.open()
    lost, one, two = provider.make(1), provider.make(1), provider.make(2)
    provider.destroy(1, one.token)
    for made in (lost, one):
        refuse_load(provider, 1, made.token)
        refuse_load(place.open(), 1, made.token)
    with pytest.raises(MasterKeyError):
        place.elsewhere(("load", 1, one.token))
    assert is_same(place.open().load(2, two.token), two)


def test_destroying_is_repeated_in_peace(place: Place) -> None:
    """Also for a key that is gone, that never was, and whose token the database has forgotten."""
    provider = place.open()
    one, two = provider.make(1), provider.make(2)
    tokens = (one.token, one.token, b"")
    for token in tokens:
        provider.destroy(1, token)
    place.elsewhere(*(("destroy", 1, token) for token in tokens))
    provider.destroy(3, b"")
    refuse_load(provider, 1, one.token)
    assert is_same(provider.load(2, two.token), two)


def test_a_key_is_destroyed_by_its_version_where_its_token_is_forgotten(place: Place) -> None:
    provider = place.open()
    one = provider.make(1)
    place.open().destroy(1, b"")
    refuse_load(provider, 1, one.token)


def test_a_token_of_another_version_destroys_nothing_of_that_version(place: Place) -> None:
    provider = place.open()
    two = provider.make(2)
    try:
        provider.destroy(1, two.token)
    except MasterKeyError:
        assert not isinstance(place, FilePlace)
    assert is_same(place.open().load(2, two.token), two)


def test_what_destroying_leaves_is_said(place: Place) -> None:
    assert len(place.open().afterwards) > 40


# Away, and back


@pytest.mark.parametrize("what", ["make", "load", "destroy"])
def test_a_provider_that_is_away_says_so_and_is_found_when_it_is_back(place: Place, what: str) -> None:
    provider = place.open()
    one = provider.make(1)
    calls: dict[str, Callable[[], object]] = {
        "make": lambda: provider.make(2),
        "load": lambda: provider.load(1, one.token),
        "destroy": lambda: provider.destroy(1, one.token),
    }
    place.take_away()
    for _ in range(2):
        with pytest.raises(MasterKeyError, match=r"\w+ \w+ \w+"):
            calls[what]()
    place.bring_back()
    assert is_same(provider.load(1, one.token), one)
    assert is_same(place.open().load(1, one.token), one)
    two = provider.make(2)
    assert is_same(provider.load(2, two.token), two)
    provider.destroy(1, one.token)
    refuse_load(provider, 1, one.token)


def test_a_provider_that_is_away_when_the_program_starts_is_found_later(place: Place) -> None:
    (one,) = place.elsewhere(("make", 1, b""))
    provider = place.open()
    place.take_away()
    refuse_load(provider, 1, one.token)
    place.bring_back()
    assert is_same(provider.load(1, one.token), one)


# Nothing secret shows


def test_nothing_secret_is_in_what_is_shown_logged_or_said(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = place.open()
    made = [provider.make(1), provider.make(2)]
    provider.load(1, made[0].token)
    shown = [repr(provider), str(vars(provider)), *map(repr, made)]
    place.take_away()
    for wrong in (made[0].token, made[1].token, b"x"):
        with pytest.raises(MasterKeyError) as failure:
            provider.load(1, wrong)
        error: BaseException | None = failure.value
        while error is not None:
            shown.append(repr(error))
            error = error.__cause__ or error.__context__
    place.bring_back()
    provider.destroy(1, made[0].token)
    text = "\n".join([*shown, *(f"{record.getMessage()} {record.args}" for record in caplog.records)])
    for one in made:
        raw = one.key.reveal()
        for form in (
            raw.hex(),
            repr(raw)[2:-1],
            base64.b64encode(raw).decode(),
            base64.urlsafe_b64encode(raw).decode(),
        ):
            assert form not in text
    for secret in place.secrets():
        assert secret not in text
