"""What was sealed opens, whole and only whole, and takes its place only then."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carnet.content import (
    CommitmentKey,
    ContentKey,
    ContentRefusedError,
    LocalFileError,
    RefusalReason,
    SealedContent,
    open_file,
)
from carnet.content import crew as crew_module
from carnet.content.leaf_opener import LeafOpener
from carnet.errors import DecryptionError
from tests.unit.client.content.version import MIB, SIZES, Version, pattern


@pytest.mark.parametrize("cores", [1, 2, 4])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_back(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, cores: int
) -> None:
    monkeypatch.setattr(crew_module, "count_cores", lambda: cores)
    sealed, ciphertext = version.seal(pattern(size))
    (tmp_path / "sealed").write_bytes(ciphertext)
    version.open_file(tmp_path / "sealed", tmp_path / "plain", sealed)
    assert (tmp_path / "plain").read_bytes() == pattern(size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "sealed"]


def test_a_leaf_of_padding_alone_is_checked_and_left_out(version: Version, tmp_path: Path) -> None:
    size = 64 * MIB + 1  # padded to 66 MiB: the last leaf holds nothing of the document
    with (tmp_path / "plain").open("wb") as file:
        file.truncate(size)
    sealed = version.seal_file(tmp_path / "plain", tmp_path / "sealed")
    assert sealed.leaf_count == 66
    version.open_file(tmp_path / "sealed", tmp_path / "opened", sealed)
    assert (tmp_path / "opened").stat().st_size == size


@settings(max_examples=30)
@given(plaintext=st.binary(max_size=50_000))
def test_any_bytes_come_back(plaintext: bytes) -> None:
    version = Version(b"context", ContentKey.make(), CommitmentKey.make())
    sealed, ciphertext = version.seal(plaintext)
    assert version.open(ciphertext, sealed) == plaintext


def test_an_opened_file_is_for_its_owner_alone_and_replaces_what_was_there(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(b"letter")
    (tmp_path / "sealed").write_bytes(ciphertext)
    (tmp_path / "plain").write_bytes(b"an older letter, longer than the new one")
    version.open_file(tmp_path / "sealed", tmp_path / "plain", sealed)
    assert (tmp_path / "plain").read_bytes() == b"letter"
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o600


def test_the_file_is_complete_and_not_yet_in_its_place_before_placing(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    (tmp_path / "sealed").write_bytes(ciphertext)
    seen: list[tuple[bytes, bool]] = []

    def look(descriptor: int) -> None:
        os.fsync(descriptor)
        seen.append((os.pread(descriptor, 3 * MIB, 0), (tmp_path / "plain").exists()))

    open_with(version, tmp_path, sealed, before_placing=look)
    assert seen == [(pattern(2 * MIB), False)]


def open_with(version: Version, tmp_path: Path, sealed: SealedContent, **callables: Any) -> None:
    open_file(
        tmp_path / "sealed",
        tmp_path / "plain",
        sealed=sealed,
        content_key=version.content_key,
        context=version.context,
        commitment_key=version.commitment_key,
        **callables,
    )


@pytest.mark.parametrize("callable_name", ["on_progress", "before_placing"])
def test_a_failure_of_the_caller_leaves_nothing_at_the_place(
    version: Version, tmp_path: Path, callable_name: str
) -> None:
    sealed, ciphertext = version.seal(pattern(3 * MIB))
    (tmp_path / "sealed").write_bytes(ciphertext)

    def refuse(_value: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_with(version, tmp_path, sealed, **{callable_name: refuse})
    assert [path.name for path in tmp_path.iterdir()] == ["sealed"]


def test_progress_rises_to_the_end_of_the_ciphertext(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(4 * MIB))
    (tmp_path / "sealed").write_bytes(ciphertext)
    ends: list[int] = []
    open_with(version, tmp_path, sealed, on_progress=ends.append)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(ciphertext)


def test_a_missing_ciphertext_is_a_local_error(version: Version, tmp_path: Path) -> None:
    sealed, _ = version.seal(b"letter")
    with pytest.raises(LocalFileError):
        version.open_file(tmp_path / "nothing", tmp_path / "plain", sealed)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_a_local_error(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(b"letter")
    (tmp_path / "sealed").write_bytes(ciphertext)
    with pytest.raises(LocalFileError):
        version.open_file(tmp_path / "sealed", tmp_path / "nowhere" / "plain", sealed)


def test_a_place_that_is_a_folder_is_a_local_error_and_nothing_remains(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(b"letter")
    (tmp_path / "sealed").write_bytes(ciphertext)
    (tmp_path / "plain").mkdir()
    with pytest.raises(LocalFileError):
        version.open_file(tmp_path / "sealed", tmp_path / "plain", sealed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "sealed"]


def test_a_refusal_tells_its_reason_to_logs_only() -> None:
    assert {str(ContentRefusedError(reason)) for reason in RefusalReason} == {str(DecryptionError())}


def test_a_leaf_out_of_order_is_our_own_fault(version: Version) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    opener = LeafOpener(
        sealed,
        content_key=version.content_key,
        context=version.context,
        commitment_key=version.commitment_key,
    )
    start, end = sealed.leaf_range(1)
    with pytest.raises(AssertionError, match="internal"):
        opener.decrypt(1, memoryview(ciphertext)[start:end], opener.make_buffer())
