"""Telling whether a local file is a document that was fetched before, by the author's commitment to its plaintext.

Nothing is fetched and no content key is needed: the commitment key stands in the metadata.
"""

import hmac
from pathlib import Path

from carnet.content.commitment import commit_leaf, commit_plaintext, count_plaintext_leaves
from carnet.content.errors import LocalFileError, SourceChangedError
from carnet.content.local_file import FileSource
from carnet.secrets import CommitmentKey
from carnet_protocol.limits import LEAF_BYTES
from carnet_protocol.suites import Suite


def is_copy(
    path: Path, suite: Suite, commitment_key: CommitmentKey, *, true_size: int, plaintext_commitment: bytes
) -> bool:
    """Whether the file at `path` holds, to the byte, the plaintext that an author committed to.

    Reads it in pieces of 1 MiB. A file that cannot be read is no copy.
    """
    try:
        with FileSource(path) as source:
            if source.size != true_size:
                return False
            leaves: list[bytes] = []
            buffer = memoryview(bytearray(LEAF_BYTES))
            for leaf in range(count_plaintext_leaves(true_size)):
                piece = buffer[: min(LEAF_BYTES, true_size - leaf * LEAF_BYTES)]
                source.fill(piece)
                leaves.append(commit_leaf(suite, commitment_key, piece))
    except (LocalFileError, SourceChangedError):
        return False
    found = commit_plaintext(suite, commitment_key, true_size=true_size, leaf_commitments=leaves)
    return hmac.compare_digest(found, plaintext_commitment)
