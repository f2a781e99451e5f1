"""The steps that every leaf takes on its way back to plaintext, whoever brings it and wherever it goes.

For each leaf: `verify`, then in order `decrypt`, then `accept`, whose result alone may be used. At the end `finish`:
before it returned, no document is complete. The steps are those of `opening`.
"""

import hmac

from carnet.content.cobblestone import MessageOpener
from carnet.content.commitment import commit_leaf, commit_plaintext, count_plaintext_leaves
from carnet.content.errors import ContentRefusedError, RefusalReason
from carnet.content.padding import is_padding
from carnet.content.sealed import SealedContent
from carnet.secrets import CommitmentKey, ContentKey
from carnet_protocol.limits import LEAF_BYTES


class LeafOpener:
    """One content on its way back. Every method raises `ContentRefusedError` when something does not fit."""

    def __init__(
        self, sealed: SealedContent, *, content_key: ContentKey, context: bytes, commitment_key: CommitmentKey
    ) -> None:
        self._sealed = sealed
        self._commitment_key = commitment_key
        self._padded_size = sealed.padded_size
        self._last_leaf = sealed.leaf_count - 1
        self._opener = MessageOpener(content_key, context=context)
        self._leaf_commitments = [b""] * count_plaintext_leaves(sealed.true_size)
        self._next_leaf = 0

    def make_buffer(self) -> memoryview:
        """A buffer for the plaintext of any one leaf."""
        return memoryview(bytearray(min(LEAF_BYTES, self._padded_size)))

    def verify(self, leaf: int, ciphertext: memoryview) -> None:
        """Check that `ciphertext` is the leaf that the author's digest stands for (step 2). In any order."""
        self._sealed.verify_leaf(leaf, ciphertext)

    def decrypt(self, leaf: int, ciphertext: memoryview, into: memoryview) -> memoryview:
        """Writes the plaintext of verified `ciphertext` to `into`, and returns that part of it (step 3). In order."""
        if leaf != self._next_leaf:
            raise AssertionError("internal: leaves are decrypted in order")
        self._next_leaf += 1
        size = self._opener.open(ciphertext, into)
        if leaf == self._last_leaf:
            last_chunk = self._opener.finalize()
            into[size : size + len(last_chunk)] = last_chunk
            size += len(last_chunk)
        return into[:size]

    def accept(self, leaf: int, padded: memoryview) -> memoryview:
        """The part of the decrypted leaf that belongs to the document; the rest is padding (step 4). In any order."""
        size = self._sealed.true_size - leaf * LEAF_BYTES
        document = padded[: max(0, size)]
        if not is_padding(padded[len(document) :]):
            raise ContentRefusedError(RefusalReason.PADDING)
        if leaf < len(self._leaf_commitments):
            self._leaf_commitments[leaf] = commit_leaf(self._sealed.suites.commitment, self._commitment_key, document)
        return document

    def finish(self) -> None:
        """Check that every leaf came, and that together they are what the author committed to (steps 3 and 5)."""
        if self._next_leaf != self._last_leaf + 1:
            raise ContentRefusedError(RefusalReason.INCOMPLETE)
        found = commit_plaintext(
            self._sealed.suites.commitment,
            self._commitment_key,
            true_size=self._sealed.true_size,
            leaf_commitments=self._leaf_commitments,
        )
        if not hmac.compare_digest(found, self._sealed.plaintext_commitment):
            raise ContentRefusedError(RefusalReason.COMMITMENT)
