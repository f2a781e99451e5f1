"""Opening of content: check, decrypt, check again and write each leaf, in bounded memory, on all cores.

1. Sizes and leaf list match the author's digest: `SealedContent` exists only so.
2. Each leaf matches the list before it is decrypted.
3. It decrypts at its place, and the last one proves the end.
4. What follows the document is zeros. Only now the leaf is written, to a file that is not at its place yet.
5. The whole plaintext is the one that the author committed to.
6. The file gets its place.
"""

import os
from collections.abc import Callable

from carnet.content.crew import Crew, OnProgress, Watermark, count_workers
from carnet.content.errors import ContentRefusedError, RefusalReason
from carnet.content.leaf_opener import LeafOpener
from carnet.content.local_file import CiphertextFile, FileTarget, MemoryTarget, Placement
from carnet.content.sealed import MOST_LEAF_BYTES, SealedContent
from carnet.secrets import CommitmentKey, ContentKey
from carnet_protocol.limits import LEAF_BYTES


def open_file(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    sealed: SealedContent,
    content_key: ContentKey,
    context: bytes,
    commitment_key: CommitmentKey,
    on_progress: OnProgress | None = None,
    before_placing: Callable[[int], None] | None = None,
) -> None:
    """Opens the ciphertext at `source`, and replaces `destination` once all of it is proven.

    `on_progress` is told how many bytes of ciphertext are opened. `before_placing` is called with the descriptor of the
    complete file: `os.fsync` there makes it outlive a power cut.

    Raises `ContentRefusedError` or `LocalFileError`, and whatever the two callables raise; `destination` is then what
    it was before.
    """
    opener = LeafOpener(sealed, content_key=content_key, context=context, commitment_key=commitment_key)
    with CiphertextFile(source) as ciphertext, Placement(destination) as placement:
        if ciphertext.size != sealed.ciphertext_size:
            raise ContentRefusedError(RefusalReason.SIZE)
        target = FileTarget(placement.descriptor)
        target.allocate(sealed.true_size)
        _Opening(sealed, opener, ciphertext, target, Watermark(on_progress)).run()
        placement.place(before_placing)


def open_bytes(
    ciphertext: bytes, *, sealed: SealedContent, content_key: ContentKey, context: bytes, commitment_key: CommitmentKey
) -> bytes:
    """Opens a small document in memory. Raises `ContentRefusedError`."""
    if len(ciphertext) != sealed.ciphertext_size:
        raise ContentRefusedError(RefusalReason.SIZE)
    opener = LeafOpener(sealed, content_key=content_key, context=context, commitment_key=commitment_key)
    target = MemoryTarget(sealed.true_size)
    buffer = opener.make_buffer()
    for leaf in range(sealed.leaf_count):
        start, end = sealed.leaf_range(leaf)
        found = memoryview(ciphertext)[start:end]
        opener.verify(leaf, found)
        target.write_at(leaf * LEAF_BYTES, opener.accept(leaf, opener.decrypt(leaf, found, buffer)))
    opener.finish()
    return bytes(target.data)


class _Opening:
    """One content on its way from one local file to another."""

    def __init__(
        self,
        sealed: SealedContent,
        opener: LeafOpener,
        source: CiphertextFile,
        target: FileTarget,
        watermark: Watermark,
    ) -> None:
        self._sealed = sealed
        self._opener = opener
        self._source = source
        self._target = target
        self._watermark = watermark
        self._crew = Crew(count_workers(sealed.leaf_count))

    def run(self) -> None:
        """Opens every leaf."""
        self._crew.run(self._work)
        self._opener.finish()

    def _work(self, worker: int) -> None:
        ciphertext = memoryview(bytearray(min(MOST_LEAF_BYTES, self._sealed.ciphertext_size)))
        plaintext = self._opener.make_buffer()
        for leaf in range(worker, self._sealed.leaf_count, self._crew.size):
            start, end = self._sealed.leaf_range(leaf)
            found = ciphertext[: end - start]
            self._source.read_at(start, found)
            self._opener.verify(leaf, found)
            if not self._crew.wait_for_turn(leaf):
                return
            padded = self._opener.decrypt(leaf, found, plaintext)
            self._crew.end_turn(leaf)
            self._target.write_at(leaf * LEAF_BYTES, self._opener.accept(leaf, padded))
            self._watermark.pass_leaf(leaf, end=end)
