"""One version of a document, sealed and opened in memory and as files, for the tests of this folder."""

import hashlib
import hmac
import io
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from carnet.content import (
    CommitmentKey,
    ContentKey,
    ContentSuites,
    OpenedRanges,
    OpenedStream,
    SealedContent,
    open_bytes,
    open_file,
    seal_bytes,
    seal_file,
)
from carnet_protocol.suites import Suite

CHUNK = 16_384
MIB = 1_048_576
SEALED_CHUNK = CHUNK + 16
HEADER = 56

# Around chunks, leaves and the floor, and where the last chunk is empty, short, or a leaf of padding alone
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB,
         2 * MIB + 1, 3 * MIB + CHUNK, 4 * MIB + 77]  # fmt: skip


def pattern(size: int, seed: int = 1) -> bytes:
    """`size` bytes that repeat only after a while, and never at a chunk."""
    block = bytes((index * index * 31 + index * 7 + seed * 11) % 251 for index in range(4_093))
    return (block * (size // len(block) + 1))[:size]


# What an author seals under each suite, and what a patient made anew under a later one than the author's.
SUITES = [
    ContentSuites.of(Suite.X25519_MLKEM768),
    ContentSuites.of(Suite.P384_MLKEM1024),
    ContentSuites(digest=Suite.P384_MLKEM1024, commitment=Suite.X25519_MLKEM768),
]


def digest(suite: Suite, data: bytes) -> bytes:
    """The spec's D."""
    return blake3(data).digest() if suite == 1 else hashlib.sha384(data).digest()


def keyed(suite: Suite, key: bytes, data: bytes) -> bytes:
    """The spec's K."""
    return blake3(data, key=key).digest() if suite == 1 else hmac.digest(key, data, "sha384")


@dataclass(frozen=True)
class Version:
    """A version's context and secrets."""

    context: bytes
    content_key: ContentKey
    commitment_key: CommitmentKey
    suites: ContentSuites = SUITES[0]

    def seal(self, plaintext: bytes) -> tuple[SealedContent, bytes]:
        """Seals in memory."""
        return seal_bytes(
            plaintext,
            content_key=self.content_key,
            context=self.context,
            commitment_key=self.commitment_key,
            suites=self.suites,
        )

    def open(self, ciphertext: bytes, sealed: SealedContent) -> bytes:
        """Opens in memory."""
        return open_bytes(
            ciphertext,
            sealed=sealed,
            content_key=self.content_key,
            context=self.context,
            commitment_key=self.commitment_key,
        )

    def seal_file(self, source: Path, target: Path) -> SealedContent:
        """Seals a file into a file."""
        with target.open("w+b") as file:
            return seal_file(
                source,
                file,
                content_key=self.content_key,
                context=self.context,
                commitment_key=self.commitment_key,
                suites=self.suites,
            )

    def open_file(self, source: Path, destination: Path, sealed: SealedContent) -> None:
        """Opens a file into a file."""
        open_file(
            source,
            destination,
            sealed=sealed,
            content_key=self.content_key,
            context=self.context,
            commitment_key=self.commitment_key,
        )

    def stream(self, destination: Path, sealed: SealedContent) -> OpenedStream:
        """A stream to `destination`."""
        return OpenedStream(
            destination,
            sealed=sealed,
            content_key=self.content_key,
            context=self.context,
            commitment_key=self.commitment_key,
        )

    def open_stream(self, ciphertext: bytes, destination: Path, sealed: SealedContent, *, piece: int = 100_000) -> None:
        """Opens what arrives in pieces."""
        with self.stream(destination, sealed) as stream, io.BytesIO(ciphertext) as arriving:
            while data := arriving.read(piece):
                stream.feed(data)
            stream.finalize()

    def ranges(self, ciphertext: bytes, sealed: SealedContent) -> OpenedRanges:
        """Ranged reads of `ciphertext`."""
        return OpenedRanges(
            lambda start, end: ciphertext[start:end],
            sealed=sealed,
            content_key=self.content_key,
            context=self.context,
        )
