"""What an author's signature and the metadata say about a content ciphertext: enough to check every byte of it."""

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from carnet.content.errors import ContentRefusedError, DocumentTooLargeError, RefusalReason
from carnet.content.padding import padded_document_size
from carnet_protocol import layout
from carnet_protocol.errors import MalformedError
from carnet_protocol.suites import Suite

MOST_LEAF_BYTES: Final = layout.HEADER_BYTES + layout.SEALED_LEAF_BYTES + layout.TAG_BYTES
"""Bytes of the longest leaf: one that is first and last at once."""


@dataclass(frozen=True, slots=True)
class ContentSuites:
    """`digest` is the suite of what a reseal makes anew, `commitment` that of what the author signed for good."""

    digest: Suite
    commitment: Suite

    @classmethod
    def of(cls, suite: Suite) -> Self:
        """Those of a content as its author seals it: both are `suite`."""
        return cls(suite, suite)


@dataclass(frozen=True, slots=True)
class SealedContent:
    """One sealed content: what sealing returns and opening takes.

    A reader puts it together from manifest and reseal (`suites`, `ciphertext_size`, `digest`, `plaintext_commitment`),
    the metadata (`true_size`) and the store (`leaf_digests`). One that exists is consistent: the size of the
    ciphertext is that of the padded size, and the leaf list hashes to the digest. Raises `ContentRefusedError`
    otherwise.
    """

    suites: ContentSuites
    true_size: int
    ciphertext_size: int
    digest: bytes
    leaf_digests: bytes = field(repr=False)
    plaintext_commitment: bytes

    def __post_init__(self) -> None:
        """Check sizes, then the leaf list."""
        try:
            expected_size = layout.ciphertext_size(padded_document_size(self.true_size))
            if self.ciphertext_size != expected_size:
                raise ContentRefusedError(RefusalReason.SIZE)
            digest = layout.content_digest(
                self.suites.digest, ciphertext_size=self.ciphertext_size, leaf_digests=self.leaf_digests
            )
        except DocumentTooLargeError:
            raise ContentRefusedError(RefusalReason.SIZE) from None
        except MalformedError:
            raise ContentRefusedError(RefusalReason.LEAF_LIST) from None
        if not hmac.compare_digest(digest, self.digest):
            raise ContentRefusedError(RefusalReason.LEAF_LIST)

    @property
    def padded_size(self) -> int:
        """Bytes of the plaintext with its padding."""
        return padded_document_size(self.true_size)

    @property
    def leaf_count(self) -> int:
        """How many leaves there are."""
        return layout.leaf_count(self.ciphertext_size)

    def leaf_range(self, leaf: int) -> tuple[int, int]:
        """First byte of `leaf` in the ciphertext, and the first one after it."""
        return layout.leaf_range(self.ciphertext_size, leaf)

    def verify_leaf(self, leaf: int, ciphertext: bytes | memoryview) -> None:
        """Check that `ciphertext` is the leaf numbered `leaf`. Raises `ContentRefusedError`."""
        start, end = self.leaf_range(leaf)
        if len(ciphertext) != end - start:
            raise ContentRefusedError(RefusalReason.SIZE)
        found = layout.leaf_digest(self.suites.digest, ciphertext)
        expected = self.leaf_digests[leaf * len(found) : (leaf + 1) * len(found)]
        if not hmac.compare_digest(found, expected):
            raise ContentRefusedError(RefusalReason.LEAF)
