"""Telling a document that is here already by its author's commitment."""

from pathlib import Path

import pytest

from carnet.content import CommitmentKey, is_copy
from tests.unit.client.content.version import MIB, Version, pattern


def _is_copy(version: Version, path: Path, plaintext: bytes, *, key: CommitmentKey | None = None) -> bool:
    sealed, _ = version.seal(plaintext)
    return is_copy(
        path,
        version.suites.commitment,
        key or version.commitment_key,
        true_size=len(plaintext),
        plaintext_commitment=sealed.plaintext_commitment,
    )


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1])
def test_the_very_bytes_are_a_copy(version: Version, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(pattern(size))
    assert _is_copy(version, path, pattern(size))


def test_anything_else_is_none(version: Version, tmp_path: Path) -> None:
    plaintext = pattern(MIB + 5)
    path = tmp_path / "file"
    for other in (plaintext[:-1], plaintext + b"\0", plaintext[:-1] + b"\xff", b""):
        path.write_bytes(other)
        assert not _is_copy(version, path, plaintext)
    path.write_bytes(plaintext)
    assert not _is_copy(version, path, plaintext, key=CommitmentKey.make())
    path.unlink()
    assert not _is_copy(version, path, plaintext)
    assert not _is_copy(version, tmp_path, plaintext)
