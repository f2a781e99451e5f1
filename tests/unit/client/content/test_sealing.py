"""What sealing writes is what the specification says, whoever counts."""

import errno
import io
import os
from pathlib import Path

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor

from carnet.content import (
    CommitmentKey,
    ContentKey,
    LocalFileError,
    SealedContent,
    SourceChangedError,
    padded_document_size,
    seal_bytes,
    seal_file,
    seal_stream,
)
from carnet.content import crew as crew_module
from tests.unit.client.content.version import HEADER, MIB, SEALED_CHUNK, SIZES, SUITES, Version, digest, pattern


def leaves_of(ciphertext: bytes) -> list[bytes]:
    """The leaves of a ciphertext, from the words of the specification alone."""
    leaf = 64 * SEALED_CHUNK
    padded = (len(ciphertext) - HEADER) // SEALED_CHUNK * 16_384 + max(
        0, (len(ciphertext) - HEADER) % SEALED_CHUNK - 16
    )
    count = max(1, -(-padded // MIB))
    starts = [0, *(HEADER + number * leaf for number in range(1, count))]
    return [ciphertext[start:end] for start, end in zip(starts, [*starts[1:], len(ciphertext)], strict=True)]


def check_against_specification(version: Version, plaintext: bytes, sealed: SealedContent, ciphertext: bytes) -> None:
    decryptor = Cobblestone256Decryptor(version.content_key.reveal(), version.context)
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    assert padded == plaintext + bytes(padded_document_size(len(plaintext)) - len(plaintext))
    suite = version.suites.digest
    leaf_digests = b"".join(digest(suite, b"\0" + leaf) for leaf in leaves_of(ciphertext))
    assert sealed.leaf_digests == leaf_digests
    assert sealed.digest == digest(suite, b"\1" + len(ciphertext).to_bytes(8, "big") + leaf_digests)
    assert (sealed.true_size, sealed.ciphertext_size) == (len(plaintext), len(ciphertext))


@pytest.mark.parametrize("size", SIZES)
def test_bytes_are_sealed_as_specified(version: Version, size: int) -> None:
    sealed, ciphertext = version.seal(pattern(size))
    check_against_specification(version, pattern(size), sealed, ciphertext)


@pytest.mark.parametrize("cores", [1, 2, 4])
@pytest.mark.parametrize("size", SIZES)
def test_files_are_sealed_as_specified_on_any_number_of_cores(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, cores: int
) -> None:
    monkeypatch.setattr(crew_module, "count_cores", lambda: cores)
    (tmp_path / "plain").write_bytes(pattern(size))
    sealed = version.seal_file(tmp_path / "plain", tmp_path / "sealed")
    check_against_specification(version, pattern(size), sealed, (tmp_path / "sealed").read_bytes())


def test_a_stream_of_known_size_is_sealed_as_specified(version: Version, tmp_path: Path) -> None:
    plaintext = pattern(2 * MIB + 5)
    with (tmp_path / "sealed").open("w+b") as target:
        sealed = seal_stream(
            io.BytesIO(plaintext),
            target,
            size=len(plaintext),
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
        )
    check_against_specification(version, plaintext, sealed, (tmp_path / "sealed").read_bytes())


class Trickle(io.BytesIO):
    """Gives at most 1,000 bytes at a time, as a pipe does."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # of a memoryview only
        return super().readinto(buffer[:1_000])


def test_a_source_that_trickles_is_read_to_its_end(version: Version, tmp_path: Path) -> None:
    plaintext = pattern(50_000)
    with (tmp_path / "sealed").open("w+b") as target:
        sealed = seal_stream(
            Trickle(plaintext),
            target,
            size=len(plaintext),
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
        )
    assert version.open((tmp_path / "sealed").read_bytes(), sealed) == plaintext


@pytest.mark.parametrize("actual", [0, 99_999, 100_001, 3 * MIB])
def test_a_stream_of_another_size_is_refused(version: Version, tmp_path: Path, actual: int) -> None:
    with (tmp_path / "sealed").open("w+b") as target, pytest.raises(SourceChangedError):
        seal_stream(
            io.BytesIO(bytes(actual)),
            target,
            size=100_000,
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
        )


def seal_while(version: Version, tmp_path: Path, change: object) -> None:
    """Seals 3 MiB, and calls `change` with the path of the file when the first leaf is done."""
    source = tmp_path / "plain"
    source.write_bytes(pattern(3 * MIB))
    calls: list[int] = []

    def on_progress(done: int) -> None:
        calls.append(done)
        if len(calls) == 1:
            change(source)  # type: ignore[operator]  # a callable, said shortly

    with (tmp_path / "sealed").open("w+b") as target:
        seal_file(
            source,
            target,
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
            on_progress=on_progress,
        )


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(1, 1))


def cut(path: Path) -> None:
    os.truncate(path, MIB)


@pytest.mark.parametrize("change", [append, overwrite, cut])
def test_a_file_that_changes_while_it_is_sealed_is_refused(version: Version, tmp_path: Path, change: object) -> None:
    with pytest.raises(SourceChangedError, match="try again"):
        seal_while(version, tmp_path, change)


def test_a_file_that_is_let_be_is_sealed(version: Version, tmp_path: Path) -> None:
    seal_while(version, tmp_path, lambda path: path.stat())


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_progress_rises_to_the_end_and_tells_what_stands_for_good(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(crew_module, "count_cores", lambda: cores)
    (tmp_path / "plain").write_bytes(pattern(6 * MIB))
    seen: list[tuple[int, bytes]] = []
    with (tmp_path / "sealed").open("w+b") as target:
        sealed = seal_file(
            tmp_path / "plain",
            target,
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
            on_progress=lambda done: seen.append((done, os.pread(target.fileno(), done, 0))),
        )
    ciphertext = (tmp_path / "sealed").read_bytes()
    ends = [done for done, _ in seen]
    assert ends == sorted(set(ends))
    assert ends[-1] == sealed.ciphertext_size
    assert all(ciphertext.startswith(part) and len(part) == done for done, part in seen)


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_a_failure_of_progress_stops_sealing_and_is_raised(
    version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(crew_module, "count_cores", lambda: cores)
    (tmp_path / "plain").write_bytes(pattern(6 * MIB))

    def refuse(_done: int) -> None:
        raise InterruptedError("the upload was cancelled")

    with (tmp_path / "sealed").open("w+b") as target, pytest.raises(InterruptedError, match="cancelled"):
        seal_file(
            tmp_path / "plain",
            target,
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
            on_progress=refuse,
        )


def test_a_target_that_held_something_holds_the_ciphertext_alone(version: Version, tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(bytes(200_000))
    (tmp_path / "plain").write_bytes(b"short")
    with (tmp_path / "sealed").open("r+b") as target:
        sealed = seal_file(
            tmp_path / "plain",
            target,
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
        )
    assert version.open((tmp_path / "sealed").read_bytes(), sealed) == b"short"


def test_a_missing_file_is_a_local_error_without_its_name(version: Version, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError) as caught:
        version.seal_file(tmp_path / "Dupont HIV test.pdf", tmp_path / "sealed")
    assert caught.value.errno == errno.ENOENT
    assert "Dupont" not in str(caught.value)


def test_a_folder_is_a_local_error(version: Version, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError):
        version.seal_file(tmp_path, tmp_path / "sealed")


def test_a_full_disk_is_a_local_error(version: Version, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(pattern(MIB))
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(LocalFileError):
        seal_file(
            tmp_path / "plain",
            full,
            content_key=version.content_key,
            context=version.context,
            commitment_key=version.commitment_key,
            suites=version.suites,
        )


def test_no_two_sealings_share_salt_or_bytes(version: Version) -> None:
    one, two = version.seal(pattern(100))[1], version.seal(pattern(100))[1]
    assert one[:24] != two[:24]
    assert one[56:] != two[56:]


def test_neither_key_shows_in_what_is_returned() -> None:
    content_key, commitment_key = ContentKey.make(), CommitmentKey.make()
    sealed, ciphertext = seal_bytes(
        b"x", content_key=content_key, context=b"", commitment_key=commitment_key, suites=SUITES[0]
    )
    for key in (content_key, commitment_key):
        assert key.reveal() not in ciphertext
        assert key.reveal().hex() not in repr(sealed)
