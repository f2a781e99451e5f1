"""The three secrets of one version of a document (spec `document.md`): fresh 32 bytes each, never used for another.

>>> ContentKey.make()
ContentKey(****)
"""

from carnet.keys import Secret


class ContentKey(Secret):
    """Opens the content of one version. Lies in capsules only."""

    __slots__ = ()


class MetadataKey(Secret):
    """Opens the metadata of one version. Lies in capsules only."""

    __slots__ = ()


class CommitmentKey(Secret):
    """Keys the commitment to one plaintext. Lies in the metadata, and is the same when the version is resealed."""

    __slots__ = ()
