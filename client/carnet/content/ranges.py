"""Reading a part of a content without the rest.

A range costs whole leaves: the digest that the author signed covers nothing smaller. Leaf 0 is always among them, once,
because its header holds the salt and the commitment that every chunk's key comes from. A header alone would be
checked by its own commitment, and an author who cheats could make one ciphertext that opens under two of them.
"""

from collections.abc import Callable, Iterator

from carnet.content.cobblestone import ChunkOpener
from carnet.content.sealed import SealedContent
from carnet.errors import UsageError
from carnet.secrets import ContentKey
from carnet_protocol.layout import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES
from carnet_protocol.limits import LEAF_BYTES

Fetch = Callable[[int, int], bytes]
"""Brings the bytes of the ciphertext from the first position up to, and without, the second."""


class OpenedRanges:
    """Reads parts of one content through `fetch`, and keeps what its header told.

    What it returns is authentic and stands at its place. That the whole document is there, and is what its author
    committed to, is proven by opening all of it, not here.
    """

    def __init__(self, fetch: Fetch, *, sealed: SealedContent, content_key: ContentKey, context: bytes) -> None:
        self._fetch = fetch
        self._sealed = sealed
        self._content_key = content_key
        self._context = context
        self._chunks: ChunkOpener | None = None

    def read(self, *, offset: int, length: int) -> bytes:
        """The `length` bytes of the document from `offset`, less where it ends before. For parts that fit in memory.

        Raises `UsageError` for a negative position, `ContentRefusedError`, and whatever `fetch` raises.
        """
        return b"".join(self.stream(offset=offset, length=length))

    def stream(self, *, offset: int, length: int) -> Iterator[bytes]:
        """The same bytes in pieces, of a leaf at most; each is authentic, only the end says that it was all."""
        if offset < 0 or length < 0:
            raise UsageError("a range begins at 0 or later and has no negative length")
        end = min(offset + length, self._sealed.true_size)
        return self._pieces(offset, end)

    def stream_all(self) -> Iterator[bytes]:
        """The whole document in pieces, as `stream`.

        What holds only padding is fetched as well, and checked against its digest: who serves the ciphertext learns no
        more than the padded size.
        """
        yield from self._pieces(0, self._sealed.true_size)
        for leaf in range(-(-self._sealed.true_size // LEAF_BYTES), self._sealed.leaf_count):
            self._fetch_leaf(leaf)

    def _pieces(self, position: int, end: int) -> Iterator[bytes]:
        while position < end:
            leaf = position // LEAF_BYTES
            piece_end = min(end, (leaf + 1) * LEAF_BYTES)
            yield self._read_leaf(leaf, position - leaf * LEAF_BYTES, piece_end - leaf * LEAF_BYTES)
            position = piece_end

    def _read_leaf(self, leaf: int, start: int, end: int) -> bytes:
        """The plaintext bytes `start` to `end` of one leaf."""
        ciphertext = self._fetch_leaf(leaf)
        if self._chunks is None:
            first = ciphertext if leaf == 0 else self._fetch_leaf(0)
            self._chunks = ChunkOpener.of_message(
                self._content_key, context=self._context, header=bytes(first[:HEADER_BYTES])
            )
        sealed_chunks = ciphertext[HEADER_BYTES if leaf == 0 else 0 :]
        first_chunk = start // CHUNK_BYTES
        plaintext = b"".join(
            self._chunks.open_chunk(
                leaf * (LEAF_BYTES // CHUNK_BYTES) + chunk,
                sealed_chunks[chunk * SEALED_CHUNK_BYTES : (chunk + 1) * SEALED_CHUNK_BYTES],
            )
            for chunk in range(first_chunk, -(-end // CHUNK_BYTES))
        )
        return plaintext[start - first_chunk * CHUNK_BYTES : end - first_chunk * CHUNK_BYTES]

    def _fetch_leaf(self, leaf: int) -> memoryview:
        start, end = self._sealed.leaf_range(leaf)
        ciphertext = memoryview(self._fetch(start, end))
        self._sealed.verify_leaf(leaf, ciphertext)
        return ciphertext


def open_range(
    fetch: Fetch, *, offset: int, length: int, sealed: SealedContent, content_key: ContentKey, context: bytes
) -> bytes:
    """One part of one content: see `OpenedRanges.read`."""
    return OpenedRanges(fetch, sealed=sealed, content_key=content_key, context=context).read(
        offset=offset, length=length
    )
