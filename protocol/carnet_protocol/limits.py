"""Limits that every part keeps (spec `api.md`, "Limits"). Checked before work is done."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# Documents
MAX_DOCUMENT_BYTES: Final = 64 * GIB
MAX_METADATA_BYTES: Final = 64 * KIB
PADDING_FLOOR_BYTES: Final = 16 * KIB
METADATA_FLOOR_BYTES: Final = 1 * KIB
LEAF_BYTES: Final = 1 * MIB
PART_LEAVES: Final = 16
MAX_VERSIONS: Final = 10_000

# Statements
MAX_STATEMENT_BYTES: Final = 64 * KIB
MAX_GRANT_SCOPE: Final = 256
MAX_READ_GRANT_SECONDS: Final = 366 * 86_400
MAX_DEPOSIT_GRANT_SECONDS: Final = 10 * 366 * 86_400
MAX_ATTESTATION_SECONDS: Final = 90 * 86_400
MAX_LOCK_STATEMENT_SECONDS: Final = 30 * 86_400
MAX_DESTRUCTION_SECONDS: Final = 7 * 86_400
MAX_REVOKED_ATTESTATIONS: Final = 1_000
STATEMENT_WINDOW_SECONDS: Final = 30 * 86_400  # how old a device's statement may be when a server first sees it
ADMISSION_WINDOW_SECONDS: Final = 86_400  # and one that lets somebody in: a grant, or the enrolment of a device
ERASURE_WINDOW_SECONDS: Final = 7 * 86_400  # and an erasure: one that was thought better of is not found years later
MAX_IDENTITIES: Final = 64
MAX_DEVICES: Final = 256
MAX_REMOVALS: Final = 256
MAX_COMPARTMENTS: Final = 256
MAX_EPOCHS: Final = 4_000  # of a record: every reader is sent them all, 7 KB each
MAX_JSON_INTEGER: Final = 2**53 - 1
MAX_TIME: Final = 253_402_300_799  # 9999-12-31T23:59:59Z

# Requests
REQUEST_WINDOW_SECONDS: Final = 60
MAX_HEADER_BYTES: Final = 16 * KIB
MAX_URL_BYTES: Final = 4 * KIB
MAX_BODY_BYTES: Final = 4 * MIB
MAX_STATEMENTS_PER_REQUEST: Final = 200
MAX_RELEASE_ITEMS: Final = 500
MAX_CAPSULES_PER_REQUEST: Final = 1_000
MAX_SEALED_KEYS_PER_REQUEST: Final = 1_000
MAX_UPLOADS_PER_REQUEST: Final = 100
MAX_ROTATION_RECORDS: Final = 200
MAX_ROTATION_CAPSULES: Final = 500
MAX_PAGE: Final = 500
URL_LIFETIME_SECONDS: Final = 600

# What a client forgives of its own clock against a server's
CLOCK_SKEW_SECONDS: Final = 120
