"""Master keys: kept by providers, held in memory, told where they are wrong, in states that follow one another."""

import errno
import itertools
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from carnet_keyservice.errors import MasterKeyError, SealedError, TransitionError
from carnet_keyservice.locks.keys import LockKeys, open_sealed_lock
from carnet_keyservice.locks.queries import SealedLock
from carnet_keyservice.master_keys import FileProvider, MasterKeys, make_master_key_file
from carnet_keyservice.master_keys.queries import (
    MasterKeyRow,
    change_state,
    find_sealing_versions,
    forget_token,
    insert_master_key,
    load_master_keys,
)
from carnet_keyservice.master_keys.ring import make_check_value
from carnet_keyservice.master_keys.state import OPENING, TRANSITIONS, KeyState, require_transition
from carnet_keyservice.sealing import Secret
from carnet_keyservice.startup import require_master_keys
from carnet_protocol.ids import RecordId
from carnet_protocol.suites import Suite
from carnet_server.errors import SettingsError, UnavailableError
from carnet_server.writer import Writer
from tests.support.keyservice import KeyServiceStory, code
from tests.support.master_keys import KeptKeys, make_ring
from tests.support.people import NOW, Dice
from tests.support.tables import count_rows, unchanged

RECORD = RecordId(b"r" * 32)


def secret(seed: str) -> Secret:
    """A master key from a seed."""
    return Secret(Dice(seed)(32))


def start(engine: Engine, ring: MasterKeys) -> None:
    """What the key service does with its master keys when it starts."""
    with Writer(engine) as writer:
        require_master_keys(engine, writer, ring)


def bring(engine: Engine, key: Secret, **changes: object) -> MasterKeyRow:
    """Version 2, as a rotation brings it."""
    row = MasterKeyRow(
        version=2,
        provider="file",
        token=b"",
        check_value=make_check_value(key, 2),
        state=KeyState.PRE_ACTIVATION,
        is_sealing=True,
        made_at=NOW,
        changed_at=NOW,
    )
    row = replace(row, **changes)
    with engine.begin() as connection:
        insert_master_key(connection, row)
    return row


# States


@pytest.mark.parametrize(("now", "then"), list(itertools.product(KeyState, KeyState)))
def test_states_follow_each_other_as_sp_800_57_has_it(now: KeyState, then: KeyState) -> None:
    allowed = {
        ("pre-activation", "active"),
        ("pre-activation", "compromised"),
        ("pre-activation", "destroyed"),
        ("active", "suspended"),
        ("active", "deactivated"),
        ("active", "compromised"),
        ("suspended", "active"),
        ("suspended", "deactivated"),
        ("suspended", "compromised"),
        ("deactivated", "compromised"),
        ("deactivated", "destroyed"),
        ("compromised", "destroyed"),
    }
    if (now.value, then.value) in allowed:
        require_transition(now, then)
    else:
        with pytest.raises(TransitionError, match="does not become"):
            require_transition(now, then)


def test_every_state_leads_to_destruction_and_nothing_leads_out_of_it() -> None:
    reached = {KeyState.DESTROYED}
    for _ in KeyState:
        reached |= {state for state, then in TRANSITIONS.items() if then & reached}
    assert reached == set(KeyState)
    assert TRANSITIONS[KeyState.DESTROYED] == frozenset()
    assert {KeyState.DESTROYED} == set(KeyState) - OPENING


def test_a_refused_change_of_state_changes_nothing(engine: Engine) -> None:
    start(engine, make_ring(secret("one")))
    with engine.connect() as connection:
        (row,) = load_master_keys(connection)
    with unchanged(engine), engine.begin() as connection, pytest.raises(TransitionError):
        change_state(connection, row, KeyState.DESTROYED, is_sealing=False, now=NOW)


def test_a_destroyed_version_leaves_nothing_of_its_token_once_its_provider_is_done(engine: Engine) -> None:
    row = bring(engine, secret("two"), token=b"wrapped")
    with engine.begin() as connection:
        change_state(connection, row, KeyState.DESTROYED, is_sealing=False, now=NOW + 5)
        (gone,) = load_master_keys(connection)
        assert (gone.token, gone.state, gone.changed_at) == (b"wrapped", KeyState.DESTROYED, NOW + 5)
        assert forget_token(connection, 2)
        assert not forget_token(connection, 2)
        (gone,) = load_master_keys(connection)
    assert (gone.token, gone.check_value, gone.state) == (b"", b"", KeyState.DESTROYED)


# Files


def test_a_file_gives_the_same_key_for_ever_and_each_version_another(tmp_path: Path) -> None:
    provider = FileProvider(tmp_path)
    one, two = provider.make(1), provider.make(2)
    assert (one.token, two.token) == (b"", b"")
    assert not one.key.is_same_as(two.key)
    assert provider.make(1).key.is_same_as(one.key)
    assert FileProvider(tmp_path).load(2, b"").is_same_as(two.key)
    assert {path.name for path in tmp_path.iterdir()} == {"master-1.key", "master-2.key"}


def test_a_master_key_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    make_master_key_file(tmp_path)
    assert (tmp_path / "master-1.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsError):
        make_master_key_file(tmp_path)


def test_a_file_that_is_not_here_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match=r"put its file master-3\.key back"):
        FileProvider(tmp_path).load(3, b"")
    with pytest.raises(MasterKeyError, match=r"master-1\.key"):
        FileProvider(tmp_path / "missing").make(1)


def test_a_key_that_another_provider_wrapped_is_in_no_file(tmp_path: Path) -> None:
    make_master_key_file(tmp_path)
    with pytest.raises(MasterKeyError, match="name its provider"):
        FileProvider(tmp_path).load(1, b"wrapped")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    make_master_key_file(tmp_path)
    (tmp_path / "master-1.key").chmod(mode)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        FileProvider(tmp_path).load(1, b"")


def test_a_destroyed_file_is_gone_and_overwritten_before(tmp_path: Path) -> None:
    provider = FileProvider(tmp_path)
    provider.make(1)
    twin = tmp_path / "the same inode"
    twin.hardlink_to(tmp_path / "master-1.key")
    provider.destroy(1, b"")
    assert twin.read_bytes() == bytes(32)
    assert not (tmp_path / "master-1.key").exists()
    provider.destroy(1, b"")
    with pytest.raises(MasterKeyError):
        provider.load(1, b"")


def test_a_draft_that_a_crash_left_is_destroyed_with_its_key_and_no_other(tmp_path: Path) -> None:
    provider = FileProvider(tmp_path)
    provider.make(1)
    key = provider.make(10).key
    draft, other = tmp_path / ".master-1.key.0011223344556677", tmp_path / ".master-10.key.0011223344556677"
    for path in (draft, other):
        path.write_bytes((tmp_path / "master-1.key").read_bytes())
    twin = tmp_path / "the same inode"
    twin.hardlink_to(draft)
    (tmp_path / "master-1.key").unlink()
    provider.destroy(1, b"")
    assert not draft.exists()
    assert twin.read_bytes() == bytes(32)
    assert any(other.read_bytes())
    assert provider.load(10, b"").is_same_as(key)


def test_what_a_destruction_that_was_cut_off_leaves_is_no_key(tmp_path: Path) -> None:
    """Where an older database is restored that has not heard of that version, it would make it anew, and find this."""
    (tmp_path / "master-2.key").touch(mode=0o600)
    (tmp_path / "master-2.key").write_bytes(bytes(32))
    provider = FileProvider(tmp_path)
    for ask in (lambda: provider.load(2, b""), lambda: provider.make(2)):
        with pytest.raises(MasterKeyError, match="overwritten to destroy it"):
            ask()
    provider.destroy(2, b"")
    provider.make(2)
    assert any((tmp_path / "master-2.key").read_bytes())


@pytest.mark.parametrize("is_there", [False, True])
def test_a_key_is_not_given_out_before_its_file_and_folder_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Also where whoever made the file died, or failed, before it could say so."""
    provider = FileProvider(tmp_path)
    if is_there:
        make_master_key_file(tmp_path)
    folder = tmp_path.stat().st_ino
    sync, broken = os.fsync, {folder}

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino in broken:
            raise OSError(errno.EIO, "broken")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(2):
        with pytest.raises(MasterKeyError, match="not safe on its disk"):
            provider.make(1)
    key = (tmp_path / "master-1.key").read_bytes()
    broken.clear()
    assert provider.make(1).key.is_same_as(Secret(key))


# The ring


def test_the_ring_opens_what_it_sealed_under_that_version_and_place_alone() -> None:
    ring = make_ring(secret("one"), secret("two"))
    sealed = ring.seal(Secret(b"x"), aad=b"a", version=1)
    assert ring.open(sealed, aad=b"a", version=1).reveal() == b"x"
    for aad, version in ((b"b", 1), (b"a", 2)):
        with pytest.raises(SealedError):
            ring.open(sealed, aad=aad, version=version)


def test_the_ring_shows_no_key() -> None:
    assert repr(make_ring(secret("one"), secret("two"))) == "MasterKeys([1, 2])"


def test_a_version_is_never_two_keys(engine: Engine) -> None:
    ring = make_ring(secret("one"))
    with pytest.raises(MasterKeyError, match="not the one that is in use"):
        ring.hold(1, secret("another"))
    assert ring.seal(Secret(b"x"), aad=b"", version=1)


def test_a_provider_that_the_settings_do_not_name_is_told() -> None:
    with pytest.raises(MasterKeyError, match="no provider 'pkcs11'"):
        make_ring(secret("one")).provider("pkcs11")


def test_a_version_that_another_process_brought_is_fetched_when_it_is_needed(engine: Engine) -> None:
    kept = KeptKeys({1: secret("one")})
    ring = MasterKeys([kept])
    start(engine, ring)
    kept.keys[2] = secret("two")
    with pytest.raises(MasterKeyError, match="master key 2 is not here"):
        ring.seal(Secret(b"x"), aad=b"", version=2)
    bring(engine, secret("two"))
    assert ring.open(ring.seal(Secret(b"x"), aad=b"", version=2), aad=b"", version=2).reveal() == b"x"


def test_a_destroyed_version_is_not_fetched_again(engine: Engine) -> None:
    kept = KeptKeys({1: secret("one"), 2: secret("two")})
    ring = MasterKeys([kept])
    start(engine, ring)
    bring(engine, secret("two"), state=KeyState.DESTROYED, is_sealing=False)
    with pytest.raises(MasterKeyError, match="master key 2 is not here"):
        ring.seal(Secret(b"x"), aad=b"", version=2)


def test_a_provider_that_goes_away_takes_nothing_from_what_is_in_memory(engine: Engine) -> None:
    kept = KeptKeys({1: secret("one")})
    ring = MasterKeys([kept])
    start(engine, ring)
    kept.is_away = True
    lock = LockKeys(ring).make(RECORD, 1, suite=Suite(1), under=[1])
    assert open_sealed_lock(ring, lock).public_key == lock.lock.lock_key


# At start


def test_the_first_start_makes_the_key_and_later_ones_find_it(engine: Engine, tmp_path: Path) -> None:
    start(engine, MasterKeys([FileProvider(tmp_path)]))
    assert count_rows(engine, "master_keys") == 1
    assert (tmp_path / "master-1.key").exists()
    with unchanged(engine):
        start(engine, MasterKeys([FileProvider(tmp_path)]))


def test_a_key_that_is_there_before_the_first_start_is_the_first(engine: Engine, tmp_path: Path) -> None:
    make_master_key_file(tmp_path)
    before = (tmp_path / "master-1.key").read_bytes()
    start(engine, MasterKeys([FileProvider(tmp_path)]))
    assert (tmp_path / "master-1.key").read_bytes() == before


def test_a_wrong_master_key_is_told_at_once(engine: Engine) -> None:
    start(engine, make_ring(secret("one")))
    with unchanged(engine), pytest.raises(MasterKeyError, match="not the one that is in use"):
        start(engine, MasterKeys([KeptKeys({1: secret("another")})]))


@pytest.mark.parametrize("is_sealing", [True, False])
def test_a_missing_key_is_told_at_once_if_new_locks_are_sealed_under_it(engine: Engine, is_sealing: bool) -> None:
    start(engine, make_ring(secret("one")))
    bring(engine, secret("two"), is_sealing=is_sealing)
    ring = MasterKeys([KeptKeys({1: secret("one")})])
    with unchanged(engine):
        if is_sealing:
            with pytest.raises(MasterKeyError, match="master key 2 is not here"):
                start(engine, ring)
        else:
            start(engine, ring)


# Locks under them


def changed(sealed: SealedLock, **changes: object) -> SealedLock:
    """The seals of a lock beside another public half or place."""
    return replace(sealed, lock=replace(sealed.lock, **changes))


def test_a_fresh_lock_is_sealed_for_its_own_place() -> None:
    ring = make_ring(secret("one"))
    sealed = LockKeys(ring).make(RECORD, 3, suite=Suite(1), under=[1])
    assert open_sealed_lock(ring, sealed).public_key == sealed.lock.lock_key
    for other in (
        changed(sealed, record=RecordId(bytes(32))),
        changed(sealed, version=4),
        changed(sealed, lock_key=bytes(1216)),
    ):
        with pytest.raises(SealedError):
            open_sealed_lock(ring, other)


def test_a_lock_opens_under_each_key_that_it_was_sealed_under_and_no_other() -> None:
    ring = make_ring(secret("one"), secret("two"), secret("three"))
    sealed = LockKeys(ring).make(RECORD, 1, suite=Suite(1), under=[1, 2])
    assert [seal.master_key_version for seal in sealed.seals] == [1, 2]
    for seal in sealed.seals:
        assert open_sealed_lock(ring, replace(sealed, seals=(seal,))).public_key == sealed.lock.lock_key
        moved = replace(sealed, seals=(replace(seal, master_key_version=3),))
        with pytest.raises(SealedError):
            open_sealed_lock(ring, moved)


def test_a_broken_seal_hides_no_good_one() -> None:
    ring = make_ring(secret("one"), secret("two"))
    sealed = LockKeys(ring).make(RECORD, 1, suite=Suite(1), under=[1, 2])
    torn = replace(sealed, seals=(replace(sealed.seals[0], sealed_seed=bytes(72)), sealed.seals[1]))
    assert open_sealed_lock(ring, torn).public_key == sealed.lock.lock_key
    with pytest.raises(SealedError):
        open_sealed_lock(ring, replace(torn, seals=torn.seals[:1]))
    with pytest.raises(SealedError):
        open_sealed_lock(ring, replace(torn, seals=()))


def test_a_lock_does_not_open_under_another_master_key() -> None:
    sealed = LockKeys(make_ring(secret("one"))).make(RECORD, 1, suite=Suite(1), under=[1])
    with pytest.raises(SealedError):
        open_sealed_lock(make_ring(secret("two")), sealed)
    with pytest.raises(UnavailableError):
        LockKeys(make_ring(secret("two"))).open(sealed)


def test_only_so_many_opened_locks_are_kept_and_the_ones_used_last() -> None:
    lock_keys = LockKeys(make_ring(secret("one")), capacity=2)
    locks = [lock_keys.make(RECORD, version, suite=Suite(1), under=[1]) for version in (1, 2, 3)]
    for lock in locks[:2]:
        lock_keys.open(lock)
    assert lock_keys.find((RECORD, 1)) is not None
    lock_keys.open(locks[2])
    assert [lock_keys.find((RECORD, version)) is not None for version in (1, 2, 3)] == [True, False, True]


class Lying(MasterKeys):
    """A ring that gives back something else than it was given."""

    def open(self, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        return Secret(bytes(32))


def test_a_lock_that_cannot_be_read_back_is_never_used() -> None:
    lying = Lying([KeptKeys()])
    lying.hold(1, Secret(bytes(32)))
    for ring in (lying, MasterKeys([KeptKeys()])):
        with pytest.raises(UnavailableError):
            LockKeys(ring).make(RECORD, 1, suite=Suite(1), under=[1])


def test_a_new_lock_is_sealed_under_every_key_that_is_sealing(story: KeyServiceStory) -> None:
    engine = story.world.engine
    bring(engine, secret("two"))
    story.world.master_keys.hold(2, secret("two"))
    story.world.post(f"{story.path}/locks", story.alice)
    with engine.connect() as connection:
        seals = connection.exec_driver_sql(
            "SELECT version, master_key_version, length(sealed_seed) FROM lock_seals ORDER BY version, 2"
        ).all()
        assert find_sealing_versions(connection) == {1, 2}
    assert [tuple(seal) for seal in seals] == [(1, 1, 72), (2, 1, 72), (2, 2, 72)]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_lock_made_while_a_master_key_comes_into_use_is_never_sealed_under_the_older_alone(
    story: KeyServiceStory, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    """It would be lost with the older key. Where the newer one was not in memory yet, the client asks again."""
    made = LockKeys.make
    engine = story.world.engine
    row = bring(engine, secret("two"), is_sealing=False)
    if is_known:
        story.world.master_keys.hold(2, secret("two"))

    def overtaken(self: LockKeys, record: RecordId, version: int, **given: Any) -> SealedLock:
        monkeypatch.setattr(LockKeys, "make", made)
        sealed = made(self, record, version, **given)
        with engine.begin() as connection:
            change_state(connection, row, KeyState.PRE_ACTIVATION, is_sealing=True, now=NOW)
        return sealed

    monkeypatch.setattr(LockKeys, "make", overtaken)
    answer = story.world.post(f"{story.path}/locks", story.alice)
    if not is_known:
        assert code(answer) == (409, "conflict")
        assert count_rows(engine, "record_locks") == 1
        story.world.master_keys.hold(2, secret("two"))
        answer = story.world.post(f"{story.path}/locks", story.alice)
    assert answer.status_code == 200
    assert count_rows(engine, "lock_seals") == 3
