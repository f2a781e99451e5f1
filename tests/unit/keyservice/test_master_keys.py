"""Master keys: right files, right keys, told at start."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from carnet_keyservice.errors import MasterKeyError, SealedError
from carnet_keyservice.locks.keys import LockKeys, open_sealed_lock
from carnet_keyservice.master_keys import FileMasterKeys, MasterKeyProvider, make_master_key_file
from carnet_keyservice.sealing import Secret
from carnet_keyservice.startup import require_master_keys
from carnet_protocol.ids import RecordId
from carnet_server.errors import SettingsError, UnavailableError
from carnet_server.writer import Writer
from tests.support.keyservice import KeyServiceStory
from tests.support.people import Dice
from tests.support.tables import count_rows, unchanged

RECORD = RecordId(b"r" * 32)


def keys(*seeds: str) -> FileMasterKeys:
    """Master keys 1, 2, … from seeds."""
    return FileMasterKeys({version: Secret(Dice(seed)(32)) for version, seed in enumerate(seeds, 1)})


def start(engine: Engine, provider: MasterKeyProvider) -> None:
    """What the key service does with its master keys when it starts."""
    with Writer(engine) as writer:
        require_master_keys(engine, writer, provider)


# Files


def test_files_are_loaded_by_their_version_and_the_highest_is_current(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        make_master_key_file(tmp_path, version=version)
    (tmp_path / "master-03.key").write_bytes(b"not by this name")
    (tmp_path / "master-.key").write_bytes(b"nor this")
    provider = FileMasterKeys.load(tmp_path)
    assert provider.versions() == {1, 2, 10}
    assert provider.current_version() == 10


def test_a_master_key_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    make_master_key_file(tmp_path)
    assert (tmp_path / "master-1.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsError):
        make_master_key_file(tmp_path)


def test_a_folder_without_a_master_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match=r"master-1\.key"):
        FileMasterKeys.load(tmp_path)
    with pytest.raises(MasterKeyError, match="cannot be read"):
        FileMasterKeys.load(tmp_path / "missing")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_master_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    make_master_key_file(tmp_path)
    (tmp_path / "master-1.key").chmod(mode)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        FileMasterKeys.load(tmp_path)


def test_a_version_that_is_not_here_is_told_by_its_file() -> None:
    provider = keys("one")
    sealed = provider.seal(Secret(b"x"), aad=b"", version=1)
    with pytest.raises(MasterKeyError, match=r"master-2\.key"):
        provider.open(sealed, aad=b"", version=2)


def test_a_provider_opens_what_it_sealed_under_that_version_alone() -> None:
    provider = keys("one", "two")
    sealed = provider.seal(Secret(b"x"), aad=b"a", version=1)
    assert provider.open(sealed, aad=b"a", version=1).reveal() == b"x"
    with pytest.raises(SealedError):
        provider.open(sealed, aad=b"a", version=2)


# At start


def test_the_first_start_notes_the_key_and_later_ones_find_it(engine: Engine) -> None:
    start(engine, keys("one"))
    assert count_rows(engine, "master_keys") == 1
    with unchanged(engine):
        start(engine, keys("one"))


def test_a_wrong_master_key_is_told_at_once(engine: Engine) -> None:
    start(engine, keys("one"))
    with unchanged(engine), pytest.raises(MasterKeyError, match="not the one that is in use"):
        start(engine, keys("another"))


def test_a_missing_older_key_is_told_at_once(engine: Engine) -> None:
    start(engine, keys("one"))
    start(engine, keys("one", "two"))
    only_two = FileMasterKeys({2: Secret(Dice("two")(32))})
    with unchanged(engine), pytest.raises(MasterKeyError, match="master key 1 is in use and not here"):
        start(engine, only_two)


def test_a_newer_key_comes_into_use_beside_the_older_one(engine: Engine) -> None:
    start(engine, keys("one"))
    start(engine, keys("one", "two"))
    assert count_rows(engine, "master_keys") == 2


# Locks under them


def test_a_fresh_lock_is_sealed_for_its_own_place() -> None:
    provider = keys("one")
    lock = LockKeys(provider).make(RECORD, 3)
    assert open_sealed_lock(provider, lock).public_key == lock.lock_key
    for other in (
        replace(lock, record=RecordId(bytes(32))),
        replace(lock, version=4),
        replace(lock, lock_key=bytes(1216)),
    ):
        with pytest.raises(SealedError):
            open_sealed_lock(provider, other)


def test_a_lock_does_not_open_under_another_master_key() -> None:
    lock = LockKeys(keys("one")).make(RECORD, 1)
    with pytest.raises(SealedError):
        open_sealed_lock(keys("two"), lock)
    with pytest.raises(UnavailableError):
        LockKeys(keys("two")).open(lock)


def test_only_so_many_opened_locks_are_kept_and_the_ones_used_last() -> None:
    lock_keys = LockKeys(keys("one"), capacity=2)
    locks = [lock_keys.make(RECORD, version) for version in (1, 2, 3)]
    for lock in locks[:2]:
        lock_keys.open(lock)
    assert lock_keys.find((RECORD, 1)) is not None
    lock_keys.open(locks[2])
    assert [lock_keys.find((RECORD, version)) is not None for version in (1, 2, 3)] == [True, False, True]


class Failing(FileMasterKeys):
    """A provider that cannot be reached."""

    def seal(self, secret: Secret, *, aad: bytes, version: int) -> bytes:
        raise MasterKeyError("the token is gone")

    def open(self, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        raise MasterKeyError("the token is gone")


class Lying(FileMasterKeys):
    """A provider that gives back something else than it was given."""

    def open(self, sealed: bytes, *, aad: bytes, version: int) -> Secret:
        return Secret(bytes(32))


@pytest.mark.parametrize("kind", [Failing, Lying])
def test_a_lock_that_cannot_be_read_back_is_never_used(kind: type[FileMasterKeys]) -> None:
    with pytest.raises(UnavailableError):
        LockKeys(kind({1: Secret(bytes(32))})).make(RECORD, 1)


def test_every_lock_in_the_database_is_sealed(story: KeyServiceStory) -> None:
    assert count_rows(story.world.engine, "record_locks") == 1
    with story.world.engine.connect() as connection:
        (sealed,) = connection.exec_driver_sql("SELECT sealed_seed FROM record_locks").scalars()
    assert len(sealed) == 24 + 32 + 16
