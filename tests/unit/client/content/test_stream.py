"""Content that arrives in pieces."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carnet.content import CommitmentKey, ContentKey, ContentRefusedError, LocalFileError, RefusalReason
from tests.support.children import hearing_interrupts
from tests.unit.client.content.version import HEADER, MIB, SEALED_CHUNK, SIZES, Version, pattern

LEAF = 64 * SEALED_CHUNK
CUT = """
import os, sys
from carnet.content import CommitmentKey, ContentKey, ContentSuites, OpenedStream, seal_bytes
from carnet_protocol.suites import Suite

keys = {"content_key": ContentKey.make(), "context": b"context", "commitment_key": CommitmentKey.make()}
sealed, ciphertext = seal_bytes(bytes(3 << 20), suites=ContentSuites.of(Suite.P384_MLKEM1024), **keys)
with OpenedStream(sys.argv[1], sealed=sealed, **keys) as stream:
    stream.feed(ciphertext[: 2 << 20])
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [65_536, 1_049_600, 1 << 24])
def test_pieces_of_any_size_come_back_as_the_whole(version: Version, tmp_path: Path, size: int, piece: int) -> None:
    sealed, ciphertext = version.seal(pattern(size))
    version.open_stream(ciphertext, tmp_path / "plain", sealed, piece=piece)
    assert (tmp_path / "plain").read_bytes() == pattern(size)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 2 * MIB), max_size=12))
def test_cuts_anywhere_make_no_difference(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    version = Version(b"context", ContentKey.make(), CommitmentKey.make())
    sealed, ciphertext = version.seal(pattern(2 * MIB - 9))
    place = tmp_path_factory.mktemp("stream") / "plain"
    ends = [*sorted(cuts), len(ciphertext)]
    with version.stream(place, sealed) as stream:
        for end in ends:
            stream.feed(ciphertext[stream.position : end])
        stream.finalize()
    assert place.read_bytes() == pattern(2 * MIB - 9)


def test_bytes_one_at_a_time_come_back(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(b"short")
    version.open_stream(ciphertext, tmp_path / "plain", sealed, piece=1)
    assert (tmp_path / "plain").read_bytes() == b"short"


def test_position_is_where_a_cut_transfer_goes_on(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    with version.stream(tmp_path / "plain", sealed) as stream:
        stream.feed(ciphertext[:1_500_000])
        assert stream.position == 1_500_000
        stream.feed(ciphertext[stream.position :])
        assert stream.position == sealed.ciphertext_size
        stream.finalize()
    assert (tmp_path / "plain").read_bytes() == pattern(2 * MIB)


@pytest.mark.parametrize("missing", [1, 16, 17, LEAF, 2 * LEAF])
def test_an_end_that_did_not_come_is_refused(version: Version, tmp_path: Path, missing: int) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    with pytest.raises(ContentRefusedError) as caught:
        version.open_stream(ciphertext[:-missing], tmp_path / "plain", sealed)
    assert caught.value.reason is RefusalReason.INCOMPLETE
    assert list(tmp_path.iterdir()) == []


def test_no_byte_at_all_is_refused(version: Version, tmp_path: Path) -> None:
    sealed, _ = version.seal(b"")
    with version.stream(tmp_path / "plain", sealed) as stream, pytest.raises(ContentRefusedError):
        stream.finalize()
    assert list(tmp_path.iterdir()) == []


def test_bytes_beyond_the_end_are_refused(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(b"")
    with version.stream(tmp_path / "plain", sealed) as stream:
        stream.feed(ciphertext)
        with pytest.raises(ContentRefusedError) as caught:
            stream.feed(b"\0")
        assert caught.value.reason is RefusalReason.BEYOND_END
        with pytest.raises(ContentRefusedError):
            stream.finalize()
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_refused_once_refuses_for_good(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    broken = bytes([ciphertext[0] ^ 1]) + ciphertext[1 : HEADER + LEAF]
    with version.stream(tmp_path / "plain", sealed) as stream:
        with pytest.raises(ContentRefusedError):
            stream.feed(broken)
        for _ in range(2):
            with pytest.raises(ContentRefusedError):
                stream.feed(ciphertext[HEADER + LEAF :])
            with pytest.raises(ContentRefusedError):
                stream.finalize()
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_a_leaf_is_written_before_it_is_whole(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    with version.stream(tmp_path / "plain", sealed) as stream:
        stream.feed(ciphertext[: HEADER + LEAF - 1])
        assert os.pread(stream._placement.descriptor, 2 * MIB, 0) == b""
        stream.feed(ciphertext[HEADER + LEAF - 1 : HEADER + LEAF])
        assert os.pread(stream._placement.descriptor, 2 * MIB, 0) == pattern(2 * MIB)[:MIB]


def test_what_was_left_without_an_end_leaves_nothing(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(pattern(2 * MIB))
    with version.stream(tmp_path / "plain", sealed) as stream:
        stream.feed(ciphertext)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="a system without files that have no name")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_kill_leaves_nothing_of_the_plaintext(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", CUT, str(tmp_path / "plain"), str(int(number))]
    with hearing_interrupts():
        assert subprocess.run(command, check=False).returncode == -number
    assert list(tmp_path.iterdir()) == []


def test_a_finished_stream_takes_nothing_more(version: Version, tmp_path: Path) -> None:
    sealed, ciphertext = version.seal(b"letter")
    with version.stream(tmp_path / "plain", sealed) as stream:
        stream.feed(ciphertext)
        stream.finalize()
        with pytest.raises(ContentRefusedError):
            stream.feed(b"")
        with pytest.raises(ContentRefusedError):
            stream.finalize()
    assert (tmp_path / "plain").read_bytes() == b"letter"


def test_a_missing_folder_is_a_local_error(version: Version, tmp_path: Path) -> None:
    sealed, _ = version.seal(b"letter")
    with pytest.raises(LocalFileError):
        version.stream(tmp_path / "nowhere" / "plain", sealed)
