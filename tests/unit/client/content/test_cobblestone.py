"""The cipher against the vectors of others: of `cryptography_vectors`, and of Wycheproof where it is beside us."""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carnet.content import ContentKey, ContentRefusedError, RefusalReason
from carnet.content.cobblestone import ChunkOpener, MessageOpener, MessageSealer
from carnet.errors import DecryptionError

PYCA = Path(cryptography_vectors.__file__).parent / "chunked-encryption" / "vectors.json"
WYCHEPROOF = (
    Path(__file__).parents[5] / "shared/vectors/wycheproof/testvectors_v1/c2sp_chunked_encryption_aes_256_gcm_test.json"
)
HEADER = 56
SEALED_CHUNK = 16_400


@dataclass(frozen=True)
class Vector:
    """A message of others; `message_key` and `base_nonce` are what its header must give, where they say so."""

    name: str
    key: bytes
    context: bytes
    ciphertext: bytes
    message_key: bytes | None
    base_nonce: bytes | None
    plaintext_hash: str | None

    def is_plaintext(self, found: bytes) -> bool:
        name = "sha256" if len(self.plaintext_hash or "") == 64 else "sha512"
        return hashlib.new(name, found).hexdigest() == self.plaintext_hash


def unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def read_pyca() -> Iterator[Vector]:
    """Chunks as in Cobblestone-256, under a header derived by SHA-256 instead of SHA-512: for the chunks alone."""
    for vector in json.loads(PYCA.read_text())["vectors"]:
        if vector["aead"] != "AEAD_AES_256_GCM" or "aead_key" not in vector:
            continue
        raw = base64.b64decode(vector["ciphertext"])
        yield Vector(
            vector["name"],
            bytes.fromhex(vector["key"]),
            vector["context"].encode(),
            zlib.decompress(raw) if vector.get("compressed") else raw,
            unhex(vector["aead_key"]),
            unhex(vector["base_nonce"]),
            vector["payload_sha256"] if vector["expect"] == "success" else None,
        )


def read_wycheproof() -> Iterator[Vector]:
    groups: list[Any] = json.loads(WYCHEPROOF.read_text())["testGroups"] if WYCHEPROOF.exists() else []
    for test in (test for group in groups for test in group["tests"]):
        yield Vector(
            f"wycheproof {test['tcId']} {test['comment']}",
            bytes.fromhex(test["key"]),
            bytes.fromhex(test["ctx"]),
            zlib.decompress(bytes.fromhex(test["ct"])),
            unhex(test.get("aeadKey")),
            unhex(test.get("baseNonce")),
            test["msgSha512"] if test["result"] == "valid" else None,
        )


MESSAGES = [*read_wycheproof()]
RAW = [vector for vector in (*read_pyca(), *MESSAGES) if vector.message_key is not None]


def open_in_order(key: ContentKey, context: bytes, ciphertext: bytes) -> bytes:
    opener = MessageOpener(key, context=context)
    buffer = bytearray(len(ciphertext))
    size = opener.open(ciphertext, memoryview(buffer))
    return bytes(buffer[:size]) + opener.finalize()


def open_chunks(chunks: ChunkOpener, ciphertext: bytes) -> bytes:
    """Opens the last chunk first, and refuses what has no short last chunk, as `SealedContent` does by its sizes."""
    body = memoryview(ciphertext)[HEADER:]
    if len(body) % SEALED_CHUNK < 16:
        raise ContentRefusedError(RefusalReason.SIZE)
    numbers = reversed(range(len(body) // SEALED_CHUNK + 1))
    found = [chunks.open_chunk(number, body[number * SEALED_CHUNK : (number + 1) * SEALED_CHUNK]) for number in numbers]
    return b"".join(reversed(found))


def open_by_chunks(key: ContentKey, context: bytes, ciphertext: bytes) -> bytes:
    if len(ciphertext) < HEADER:
        raise ContentRefusedError(RefusalReason.SIZE)
    return open_chunks(ChunkOpener.of_message(key, context=context, header=ciphertext[:HEADER]), ciphertext)


OPENINGS = pytest.mark.parametrize("open_message", [open_in_order, open_by_chunks])


def check_verdict(vector: Vector, open_vector: Callable[[], bytes]) -> None:
    if vector.plaintext_hash is None:
        with pytest.raises(DecryptionError):
            open_vector()
    else:
        assert vector.is_plaintext(open_vector())


def test_there_are_vectors_of_both_verdicts() -> None:
    assert len([vector for vector in RAW if vector.plaintext_hash is not None]) >= 9
    assert len([vector for vector in RAW if vector.plaintext_hash is None]) >= 10


@pytest.mark.parametrize("vector", RAW, ids=lambda vector: vector.name)
def test_the_chunks_of_a_vector_have_its_verdict(vector: Vector) -> None:
    assert vector.message_key is not None
    assert vector.base_nonce is not None
    chunks = ChunkOpener(vector.message_key, vector.base_nonce)
    check_verdict(vector, lambda: open_chunks(chunks, vector.ciphertext))


@OPENINGS
def test_every_whole_message_among_the_vectors_has_its_verdict(open_message: Any) -> None:
    assert len(MESSAGES) == (35 if WYCHEPROOF.exists() else 0)
    for vector in MESSAGES:
        check_verdict(vector, lambda: open_message(ContentKey(vector.key), vector.context, vector.ciphertext))  # noqa: B023  called at once


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 40_000])
def test_the_two_implementations_agree_both_ways(size: int) -> None:
    """The library's, which seals, and the one for single chunks, which is written from the specification."""
    key, plaintext = ContentKey.make(), bytes(range(256)) * 200
    ciphertext = seal(key, b"context", plaintext[:size])
    assert open_in_order(key, b"context", ciphertext) == plaintext[:size]
    assert open_by_chunks(key, b"context", ciphertext) == plaintext[:size]


def seal(key: ContentKey, context: bytes, plaintext: bytes) -> bytes:
    sealer = MessageSealer(key, context=context)
    buffer = bytearray(len(plaintext) * 2 + SEALED_CHUNK)
    size = sealer.seal(memoryview(plaintext), memoryview(buffer))
    return bytes(buffer[:size]) + sealer.finalize()


@OPENINGS
@given(plaintext=st.binary(max_size=40_000), context=st.binary(max_size=100))
def test_what_is_sealed_opens(open_message: Any, plaintext: bytes, context: bytes) -> None:
    key = ContentKey.make()
    assert open_message(key, context, seal(key, context, plaintext)) == plaintext


@OPENINGS
def test_another_key_or_context_is_refused(open_message: Any) -> None:
    key = ContentKey.make()
    ciphertext = seal(key, b"here", b"secret")
    with pytest.raises(ContentRefusedError):
        open_message(ContentKey.make(), b"here", ciphertext)
    with pytest.raises(ContentRefusedError):
        open_message(key, b"there", ciphertext)


def test_sealing_the_same_twice_gives_two_ciphertexts() -> None:
    key = ContentKey.make()
    one, two = seal(key, b"", bytes(100)), seal(key, b"", bytes(100))
    assert one[:24] != two[:24]
    assert one[56:] != two[56:]


def test_a_chunk_opens_at_its_own_number_only() -> None:
    key = ContentKey.make()
    ciphertext = seal(key, b"", bytes(3 * 16_384))
    chunks = ChunkOpener.of_message(key, context=b"", header=ciphertext[:HEADER])
    second = memoryview(ciphertext)[HEADER + SEALED_CHUNK : HEADER + 2 * SEALED_CHUNK]
    assert chunks.open_chunk(1, second) == bytes(16_384)
    for number in (0, 2, 3, 1 << 37):
        with pytest.raises(ContentRefusedError):
            chunks.open_chunk(number, second)


@pytest.mark.parametrize("number", [-1, 1 << 38])
def test_a_chunk_number_beyond_the_counter_is_our_own_fault(number: int) -> None:
    key = ContentKey.make()
    chunks = ChunkOpener.of_message(key, context=b"", header=seal(key, b"", b"")[:HEADER])
    with pytest.raises(AssertionError, match="internal"):
        chunks.open_chunk(number, memoryview(bytes(16)))


@pytest.mark.parametrize("size", [0, 24, 55, 57])
def test_a_header_of_another_length_is_our_own_fault(size: int) -> None:
    with pytest.raises(AssertionError, match="internal"):
        ChunkOpener.of_message(ContentKey.make(), context=b"", header=bytes(size))


def test_an_opener_that_refused_once_refuses_for_good() -> None:
    key = ContentKey.make()
    ciphertext = bytearray(seal(key, b"", bytes(20_000)))
    opener = MessageOpener(key, context=b"")
    ciphertext[100] ^= 1
    for _ in range(2):
        with pytest.raises(ContentRefusedError):
            opener.open(bytes(ciphertext), memoryview(bytearray(40_000)))
    with pytest.raises(ContentRefusedError):
        opener.finalize()
