"""Sealing of content: read, pad, encrypt, hash and write each leaf once, in bounded memory, on all cores.

Each worker carries one leaf at a time from end to end, in two buffers that stay in the processor's cache. Only reading
and the cipher go in order; everything else of one leaf runs beside the other leaves. The plaintext is hashed before the
cipher and the ciphertext after it, so that what is written was touched last: the other way round was slower.
"""

import io
import os
import threading
from typing import IO

from carnet.content.cobblestone import MessageSealer
from carnet.content.commitment import commit_leaf, commit_plaintext, count_plaintext_leaves
from carnet.content.crew import Crew, OnProgress, Watermark, count_workers
from carnet.content.local_file import FileSource, FileTarget, MemoryTarget, Readable, Source, Writable
from carnet.content.padding import padded_document_size
from carnet.content.sealed import MOST_LEAF_BYTES, ContentSuites, SealedContent
from carnet.secrets import CommitmentKey, ContentKey
from carnet_protocol import layout
from carnet_protocol.limits import LEAF_BYTES


def seal_file(
    source: str | os.PathLike[str],
    target: IO[bytes],
    *,
    content_key: ContentKey,
    context: bytes,
    commitment_key: CommitmentKey,
    suites: ContentSuites,
    on_progress: OnProgress | None = None,
) -> SealedContent:
    """Seals the file at `source` into the empty local file `target`.

    `content_key` and `commitment_key` are fresh; `context` says which version this is. `on_progress` is told how many
    bytes of `target` stand for good, so that an upload may follow. On any failure what is in `target` is worthless.

    Raises `DocumentTooLargeError`, `SourceChangedError` or `LocalFileError`, and whatever `on_progress` raises.
    """
    with FileSource(source) as plaintext:
        return _Sealing(
            plaintext,
            _make_room(target, plaintext.size),
            content_key=content_key,
            context=context,
            commitment_key=commitment_key,
            suites=suites,
            on_progress=on_progress,
        ).run()


def seal_stream(
    source: Readable,
    target: IO[bytes],
    *,
    size: int,
    content_key: ContentKey,
    context: bytes,
    commitment_key: CommitmentKey,
    suites: ContentSuites,
    on_progress: OnProgress | None = None,
) -> SealedContent:
    """Seals `size` bytes of `source`, which must end there, into the empty local file `target`. Else as `seal_file`."""
    return _Sealing(
        Source(source, size),
        _make_room(target, size),
        content_key=content_key,
        context=context,
        commitment_key=commitment_key,
        suites=suites,
        on_progress=on_progress,
    ).run()


def seal_bytes(
    plaintext: bytes,
    *,
    content_key: ContentKey,
    context: bytes,
    commitment_key: CommitmentKey,
    suites: ContentSuites,
) -> tuple[SealedContent, bytes]:
    """Seals a small document in memory. Returns what is to be signed of it, and the ciphertext."""
    memory = MemoryTarget(layout.ciphertext_size(padded_document_size(len(plaintext))))
    source = Source(io.BytesIO(plaintext), len(plaintext))
    sealed = _Sealing(
        source,
        memory,
        content_key=content_key,
        context=context,
        commitment_key=commitment_key,
        suites=suites,
        on_progress=None,
    ).run()
    return sealed, bytes(memory.data)


def _make_room(target: IO[bytes], size: int) -> FileTarget:
    """`target`, with room for the ciphertext of `size` bytes."""
    file = FileTarget(target.fileno())
    file.allocate(layout.ciphertext_size(padded_document_size(size)))
    return file


class _Sealing:
    """One content on its way from `source` to `target`."""

    def __init__(
        self,
        source: Source,
        target: Writable,
        *,
        content_key: ContentKey,
        context: bytes,
        commitment_key: CommitmentKey,
        suites: ContentSuites,
        on_progress: OnProgress | None,
    ) -> None:
        self._source = source
        self._target = target
        self._commitment_key = commitment_key
        self._suites = suites
        self._padded_size = padded_document_size(source.size)
        self._ciphertext_size = layout.ciphertext_size(self._padded_size)
        self._leaf_count = layout.leaf_count(self._ciphertext_size)
        self._leaf_digests = [b""] * self._leaf_count
        self._leaf_commitments = [b""] * count_plaintext_leaves(source.size)
        self._crew = Crew(count_workers(self._leaf_count))
        self._watermark = Watermark(on_progress)
        self._reading = threading.Lock()
        self._next_leaf = 0
        self._sealer = MessageSealer(content_key, context=context)

    def run(self) -> SealedContent:
        self._crew.run(self._work)
        self._source.finish()
        leaf_digests = b"".join(self._leaf_digests)
        return SealedContent(
            suites=self._suites,
            true_size=self._source.size,
            ciphertext_size=self._ciphertext_size,
            digest=layout.content_digest(
                self._suites.digest, ciphertext_size=self._ciphertext_size, leaf_digests=leaf_digests
            ),
            leaf_digests=leaf_digests,
            plaintext_commitment=commit_plaintext(
                self._suites.commitment,
                self._commitment_key,
                true_size=self._source.size,
                leaf_commitments=self._leaf_commitments,
            ),
        )

    def _work(self, _worker: int) -> None:
        plaintext = memoryview(bytearray(min(LEAF_BYTES, self._padded_size)))
        ciphertext = memoryview(bytearray(min(MOST_LEAF_BYTES, self._ciphertext_size)))
        while (leaf := self._read_leaf(plaintext)) is not None:
            if leaf < len(self._leaf_commitments):
                document = plaintext[: self._source.size - leaf * LEAF_BYTES]
                self._leaf_commitments[leaf] = commit_leaf(self._suites.commitment, self._commitment_key, document)
            if not self._crew.wait_for_turn(leaf):
                return
            sealed_leaf = self._seal_leaf(leaf, plaintext, ciphertext)
            self._crew.end_turn(leaf)
            start, end = layout.leaf_range(self._ciphertext_size, leaf)
            self._leaf_digests[leaf] = layout.leaf_digest(self._suites.digest, sealed_leaf)
            self._target.write_at(start, sealed_leaf)
            self._watermark.pass_leaf(leaf, end=end)

    def _read_leaf(self, plaintext: memoryview) -> int | None:
        """Reads and pads the next leaf into `plaintext`; returns its number, if there is one."""
        with self._reading:
            leaf = self._next_leaf
            if leaf == self._leaf_count or self._crew.is_stopped:
                return None
            self._next_leaf += 1
            rest = max(0, self._source.size - leaf * LEAF_BYTES)
            self._source.fill(plaintext[:rest])
        if rest < len(plaintext):
            plaintext[rest:] = bytes(len(plaintext) - rest)
        return leaf

    def _seal_leaf(self, leaf: int, plaintext: memoryview, ciphertext: memoryview) -> memoryview:
        """Writes the ciphertext of the leaf in `plaintext` to `ciphertext`, and returns that part of it. In order."""
        size = self._sealer.seal(plaintext[: self._padded_size - leaf * LEAF_BYTES], ciphertext)
        if leaf == self._leaf_count - 1:
            last_chunk = self._sealer.finalize()
            ciphertext[size : size + len(last_chunk)] = last_chunk
            size += len(last_chunk)
        return ciphertext[:size]
