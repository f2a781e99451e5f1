"""The parts of which a version is made, as far as they can be checked without looking anything up.

A deposit and a reseal bring the same parts: metadata, leaf list, lock statement and two capsules.
"""

from typing import Final

from carnet_protocol.api import Capsule
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import DocumentId, Sha256Digest
from carnet_protocol.layout import HEADER_BYTES, TAG_BYTES, content_digest
from carnet_protocol.limits import MAX_METADATA_BYTES, METADATA_FLOOR_BYTES
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import Suite
from carnet_protocol.tuples import KeyRole
from carnet_server.errors import BadRequestError, TooLargeError
from carnet_vault.capsules.decide import check_box

_LEAST_METADATA: Final = HEADER_BYTES + METADATA_FLOOR_BYTES + TAG_BYTES


def check_metadata(metadata: bytes, digest: Sha256Digest) -> None:
    """Check size and digest of a metadata ciphertext. Raises `TooLargeError`, `BadRequestError`."""
    if len(metadata) > MAX_METADATA_BYTES:
        raise TooLargeError("metadata_too_large")
    if len(metadata) < _LEAST_METADATA or Sha256Digest.of(metadata) != digest:
        raise BadRequestError("metadata_digest")


def check_leaf_list(leaf_digests: bytes, *, suite: Suite, ciphertext_size: int, digest: bytes) -> None:
    """Check that a leaf list is as long as the ciphertext wants it and hashes to `digest`. Raises `BadRequestError`."""
    try:
        found = content_digest(suite, ciphertext_size=ciphertext_size, leaf_digests=leaf_digests)
    except ProtocolError as error:
        raise BadRequestError("leaf_list_length") from error
    if found != digest:
        raise BadRequestError("leaf_list_digest")


def check_pair(content: Capsule, metadata: Capsule, *, document: DocumentId, version: int, lock: Signed[Lock]) -> None:
    """Check that two capsules hold the two keys of one version.

    1. They name the version, and each its role.
    2. They are for one compartment, under one compartment statement.
    3. They are under `lock`, in its suite.
    4. Their boxes are well-formed.

    Raises `BadRequestError`.
    """
    for capsule, role in ((content, KeyRole.CONTENT), (metadata, KeyRole.METADATA)):
        # 1
        if (capsule.document, capsule.version, capsule.role) != (document, version, role):
            raise BadRequestError("capsule_of_another")
        # 2
        if capsule.compartment is None or capsule.compartment != content.compartment:
            raise BadRequestError("capsule_recipient")
        # 3
        if capsule.lock_statement != lock.hash or capsule.outer_suite != lock.body.suite:
            raise BadRequestError("capsule_lock")
        # 4
        check_box(capsule)
