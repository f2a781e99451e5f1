"""Content and metadata of documents: sealing and opening, whole, streamed or in part (spec `document.md`).

    content_key, commitment_key = ContentKey.make(), CommitmentKey.make()
    sealed = seal_file("letter.pdf", spool, content_key=content_key, context=…, commitment_key=…, suites=…)
    open_file("spool", "letter.pdf", sealed=sealed, content_key=…, context=…, commitment_key=…)

Key and context come from the caller, who binds the version's identity into the context; nothing here knows people,
servers or statements.
"""

from carnet.content.commitment import commit_metadata
from carnet.content.copies import is_copy
from carnet.content.crew import OnProgress
from carnet.content.errors import (
    ContentRefusedError,
    DocumentTooLargeError,
    LocalFileError,
    RefusalReason,
    SourceChangedError,
)
from carnet.content.local_file import wrapping_system_errors
from carnet.content.metadata import open_metadata, seal_metadata
from carnet.content.opening import open_bytes, open_file
from carnet.content.padding import padded_document_size
from carnet.content.ranges import Fetch, OpenedRanges, open_range
from carnet.content.sealed import ContentSuites, SealedContent
from carnet.content.sealing import seal_bytes, seal_file, seal_stream
from carnet.content.stream import OpenedStream
from carnet.secrets import CommitmentKey, ContentKey, MetadataKey

__all__ = [
    "CommitmentKey",
    "ContentKey",
    "ContentRefusedError",
    "ContentSuites",
    "DocumentTooLargeError",
    "Fetch",
    "LocalFileError",
    "MetadataKey",
    "OnProgress",
    "OpenedRanges",
    "OpenedStream",
    "RefusalReason",
    "SealedContent",
    "SourceChangedError",
    "commit_metadata",
    "is_copy",
    "open_bytes",
    "open_file",
    "open_metadata",
    "open_range",
    "padded_document_size",
    "seal_bytes",
    "seal_file",
    "seal_metadata",
    "seal_stream",
    "wrapping_system_errors",
]
