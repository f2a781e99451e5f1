"""Sealing many small documents under both locks: what an import of a practice's archive does, without a network."""

import os
import tempfile
from pathlib import Path

from carnet.capsules import seal_capsule
from carnet.content import CommitmentKey, ContentKey, ContentSuites, MetadataKey, seal_bytes, seal_metadata
from carnet.sealing import KemPrivateKey
from carnet_protocol.ids import CompartmentId, DocumentSalt, Fingerprint, IdentityHash, RecordId, StatementHash
from carnet_protocol.ids import derive_document_id as derive
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Lock, Signed
from carnet_protocol.suites import WRITE_SUITE
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, WrapTuple

_SIZE = 8 * 1024


def seal_documents(count: int, folder: str) -> None:
    """Seal `count` documents into files of a new folder in `folder`, which is removed afterwards."""
    record, author = RecordId(os.urandom(32)), IdentityHash(os.urandom(32))
    compartment_key, lock_key = KemPrivateKey.make(WRITE_SUITE), KemPrivateKey.make(WRITE_SUITE)
    recipient = CompartmentLock(CompartmentId.make(), StatementHash(os.urandom(32)))
    lock = Signed.sign(
        Lock(
            record=record,
            version=1,
            suite=WRITE_SUITE,
            lock_key=lock_key.public_key,
            previous=None,
            keyservice=Fingerprint(os.urandom(32)),
            issued_at=0,
            expires=86_400,
        ),
        Signer(os.urandom(32)),
    )
    with tempfile.TemporaryDirectory(dir=folder) as target:
        for number in range(count):
            document = derive(record, author, DocumentSalt(os.urandom(32)))
            identity = IdentityTuple(WRITE_SUITE, record, document, 1, author)
            content_key, metadata_key = ContentKey.make(), MetadataKey.make()
            _, content = seal_bytes(
                os.urandom(_SIZE),
                content_key=content_key,
                context=identity.content_context(),
                commitment_key=CommitmentKey.make(),
                suites=ContentSuites.of(WRITE_SUITE),
            )
            metadata, _ = seal_metadata(
                b'{"title":"x"}', metadata_key=metadata_key, context=identity.metadata_context()
            )
            capsules = [
                seal_capsule(
                    key.reveal(),
                    WrapTuple(identity, role, recipient, WRITE_SUITE, lock.body.suite, lock.hash),
                    recipient_public_key=compartment_key.public_key,
                    lock=lock,
                ).sealed
                for key, role in ((content_key, KeyRole.CONTENT), (metadata_key, KeyRole.METADATA))
            ]
            Path(target, str(number)).write_bytes(b"".join([content, metadata, *capsules]))
