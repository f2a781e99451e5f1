"""Opening of content that arrives in pieces of any size, as from a connection."""

import os
from collections.abc import Callable
from typing import Self

from carnet.content.errors import ContentRefusedError, RefusalReason
from carnet.content.leaf_opener import LeafOpener
from carnet.content.local_file import FileTarget, Placement
from carnet.content.sealed import MOST_LEAF_BYTES, SealedContent
from carnet.secrets import CommitmentKey, ContentKey
from carnet_protocol.limits import LEAF_BYTES


class OpenedStream:
    """Takes a ciphertext from its front to its end and writes what it proved to a draft of `destination`.

    Each leaf is checked, decrypted and written when its last byte is there. Only `finalize` proves that the document is
    complete, and gives it its place; left without it, nothing remains. After a refusal the stream is dead. A transfer
    that was cut goes on at `position`.

        with OpenedStream(path, sealed=…, …) as stream:
            for piece in response:
                stream.feed(piece)
            stream.finalize()
    """

    def __init__(
        self,
        destination: str | os.PathLike[str],
        *,
        sealed: SealedContent,
        content_key: ContentKey,
        context: bytes,
        commitment_key: CommitmentKey,
    ) -> None:
        """Raises `LocalFileError` if nothing can be written in the folder of `destination`."""
        self._sealed = sealed
        self._opener = LeafOpener(sealed, content_key=content_key, context=context, commitment_key=commitment_key)
        self._ciphertext = memoryview(bytearray(min(MOST_LEAF_BYTES, sealed.ciphertext_size)))
        self._plaintext = self._opener.make_buffer()
        self._leaf = 0
        self._filled = 0
        self._position = 0
        self._is_dead = False
        self._placement = Placement(destination)
        self._target = FileTarget(self._placement.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.abandon()

    @property
    def position(self) -> int:
        """How many bytes of the ciphertext were taken: where the next piece begins."""
        return self._position

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes. Raises `ContentRefusedError` or `LocalFileError`; then the stream is dead."""
        if self._is_dead:
            raise ContentRefusedError(RefusalReason.INCOMPLETE)
        self._is_dead = True  # until all of the piece is taken
        rest = memoryview(piece)
        if len(rest) > self._sealed.ciphertext_size - self._position:
            raise ContentRefusedError(RefusalReason.BEYOND_END)
        while rest:
            start, end = self._sealed.leaf_range(self._leaf)
            taken = rest[: end - start - self._filled]
            self._ciphertext[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            self._position += len(taken)
            rest = rest[len(taken) :]
            if self._filled == end - start:
                self._open_leaf(self._ciphertext[: self._filled])
        self._is_dead = False

    def finalize(self, before_placing: Callable[[int], None] | None = None) -> None:
        """Proves that all is there, calls `before_placing` with the descriptor, and gives the file its place.

        Raises `ContentRefusedError` or `LocalFileError`.
        """
        if self._is_dead:
            raise ContentRefusedError(RefusalReason.INCOMPLETE)
        self._is_dead = True
        self._opener.finish()
        self._placement.place(before_placing)

    def abandon(self) -> None:
        """Removes what was written, unless it has its place."""
        self._is_dead = True
        self._placement.abandon()

    def _open_leaf(self, ciphertext: memoryview) -> None:
        self._opener.verify(self._leaf, ciphertext)
        padded = self._opener.decrypt(self._leaf, ciphertext, self._plaintext)
        self._target.write_at(self._leaf * LEAF_BYTES, self._opener.accept(self._leaf, padded))
        self._leaf += 1
        self._filled = 0
