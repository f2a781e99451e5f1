"""What Carnet itself makes of each vector: one function for each format, which returns the output or raises."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from carnet import keyring_file, pairing, recovery
from carnet.boxes import open_device_name
from carnet.capsules import open_inner
from carnet.compartments import commit_to_readers
from carnet.content import (
    CommitmentKey,
    ContentKey,
    MetadataKey,
    SealedContent,
    open_bytes,
    open_metadata,
)
from carnet.content.commitment import commit_leaf, commit_metadata, commit_plaintext
from carnet.content.padding import padded_document_size
from carnet.documents.metadata import parse_committed
from carnet.documents.versions import Version, _verify_reseal
from carnet.home import Home
from carnet.keys import AccountKey, DeviceSecret, RecoverySecret
from carnet.people import verify_bundle
from carnet.sealing import KemPrivateKey, open_box, open_message, open_secret
from carnet.short_code import derive_short_code, format_short_code
from carnet.slots import derive_passphrase_slot_key, open_slot
from carnet_keyservice.sealing import Secret, open_at_rest, open_lock_key
from carnet_protocol import labels, layout, tuples
from carnet_protocol.answers import verify_answer
from carnet_protocol.api import Capsule, PersonBundle, RecoveryView
from carnet_protocol.authority import verify_attestation, verify_person
from carnet_protocol.encoding import pack, parse_base64url, parse_canonical_json
from carnet_protocol.errors import MalformedError
from carnet_protocol.ids import (
    CompartmentId,
    DocumentId,
    DocumentSalt,
    Ed25519PublicKey,
    Fingerprint,
    IdentityHash,
    Nonce,
    RecordId,
    StatementHash,
    derive_document_id,
    derive_event_commitment,
    pack_event_leaf,
)
from carnet_protocol.requests import KeyId, SignedRequest, parse_request, verify_request
from carnet_protocol.sealed_box import COMPARTMENT_NAME_SIZE, NOTE_SIZE, BoxKind, inner_size
from carnet_protocol.statements import (
    KINDS,
    Attestation,
    Device,
    Identity,
    Manifest,
    Receipt,
    Removal,
    RevocationList,
    Signed,
)
from carnet_protocol.suites import Suite, parse_suite
from carnet_protocol.tuples import CompartmentLock, IdentityTuple, KeyRole, PersonalLock, WrapTuple
from tests.vectors.scenario import b64

Given = dict[str, Any]
Verdict = Callable[[Given], dict[str, Any]]


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _base64url(given: Given) -> dict[str, Any]:
    return {"hex": parse_base64url(given["text"]).hex()}


def _canonical_json(given: Given) -> dict[str, Any]:
    parse_canonical_json(bytes.fromhex(given["hex"]))
    return {}


def _pack(given: Given) -> dict[str, Any]:
    fields = [int(f["integer"]) if "integer" in f else bytes.fromhex(f["hex"]) for f in given["fields"]]
    packed = pack(given["label"].encode(), *fields)
    return {"packed_hex": packed.hex(), "sha256_hex": hashlib.sha256(packed).hexdigest()}


def _document_id(given: Given) -> dict[str, Any]:
    made = derive_document_id(
        RecordId.parse(given["record"]), IdentityHash.parse(given["author"]), DocumentSalt.parse(given["document_salt"])
    )
    return {"document": str(made)}


def _fingerprint(given: Given) -> dict[str, Any]:
    return {"fingerprint": str(Ed25519PublicKey.parse(given["key"]).fingerprint())}


def _short_code(given: Given) -> dict[str, Any]:
    return {"code": format_short_code(derive_short_code(IdentityHash.parse(given["identity"])))}


def _statement(given: Given) -> dict[str, Any]:
    signed = Signed.parse(given["statement"], KINDS[f"carnet.{given['kind']}.v1"])
    signed.verify(Ed25519PublicKey.parse(given["key"]))
    return {"hash": str(signed.hash)}


def _person(given: Given) -> dict[str, Any]:
    person = verify_person(
        IdentityHash.parse(given["identity"]),
        [Signed.parse(text, Identity) for text in given["identities"]],
        [Signed.parse(text, Device) for text in given["devices"]],
        [Signed.parse(text, Removal) for text in given["removals"]],
    )
    key = person.device_key(StatementHash.parse(given["device"]), at=given["at"])
    return {"device_key": str(key), "current": str(person.current.hash)}


def _attestation(given: Given) -> dict[str, Any]:
    identities = [Signed.parse(text, Identity) for text in given["identities"]]
    verify_attestation(
        Signed.parse(given["attestation"], Attestation),
        [Signed.parse(text, RevocationList) for text in given["revocation_lists"]],
        [Ed25519PublicKey.parse(key) for key in given["registrars"]],
        subject=verify_person(IdentityHash.parse(given["subject"]), identities, [], []),
        now=given["at"],
    )
    return {}


def _wrap(coordinates: Given, inner_suite: Suite, outer_suite: Suite) -> WrapTuple:
    identity = IdentityTuple(
        parse_suite(coordinates["suite"]),
        RecordId.parse(coordinates["record"]),
        DocumentId.parse(coordinates["document"]),
        coordinates["version"],
        IdentityHash.parse(coordinates["author"]),
    )
    recipient: CompartmentLock | PersonalLock
    if "compartment" in coordinates:
        recipient = CompartmentLock(
            CompartmentId.parse(coordinates["compartment"]), StatementHash.parse(coordinates["compartment_statement"])
        )
    else:
        recipient = PersonalLock(
            StatementHash.parse(coordinates["grant"]),
            IdentityHash.parse(coordinates["grantee"]),
            StatementHash.parse(coordinates["grantee_statement"]),
        )
    lock = StatementHash.parse(coordinates.get("lock_statement", b64(bytes(32))))
    return WrapTuple(identity, KeyRole(coordinates["role"]), recipient, inner_suite, outer_suite, lock)


def _sealed_box(given: Given) -> dict[str, Any]:
    kind, at = BoxKind(given["kind"]), given["coordinates"]
    suite = Suite(given["suite"])
    size = 32
    match kind:
        case BoxKind.INNER_LOCK | BoxKind.PERSONAL_INNER_LOCK:
            info = _wrap(at, suite, suite).inner_info()
        case BoxKind.OUTER_LOCK | BoxKind.PERSONAL_OUTER_LOCK:
            # The key service's own code: it alone takes off outer locks.
            lock, wrap = open_lock_key(Secret(_raw(given["seed"])), suite), _wrap(at, Suite(at["inner_suite"]), suite)
            return {"plaintext": b64(lock.open_outer_lock(wrap, _raw(given["box"])))}
        case BoxKind.SEALED_COMPARTMENT_KEY:
            info = tuples.sealed_compartment_key_info(
                suite,
                compartment_statement=StatementHash.parse(at["compartment_statement"]),
                grant=None if at["grant"] is None else StatementHash.parse(at["grant"]),
                reader_statement=StatementHash.parse(at["reader_statement"]),
            )
        case BoxKind.COMPARTMENT_NAME | BoxKind.READERS_OPENING:
            make = tuples.compartment_name_info if kind is BoxKind.COMPARTMENT_NAME else tuples.readers_opening_info
            info = make(
                suite,
                record=RecordId.parse(at["record"]),
                compartment=CompartmentId.parse(at["compartment"]),
                epoch=at["epoch"],
            )
            size = COMPARTMENT_NAME_SIZE if kind is BoxKind.COMPARTMENT_NAME else 32
        case BoxKind.GRANT_NOTE:
            info = tuples.grant_note_info(
                suite,
                record=RecordId.parse(at["record"]),
                grant_id=_raw(at["grant_id"]),
                grantee_statement=StatementHash.parse(at["grantee_statement"]),
            )
            size = NOTE_SIZE
    key = KemPrivateKey(_raw(given["seed"]), suite)
    return {"plaintext": b64(open_box(kind, _raw(given["box"]), plaintext_size=size, private_key=key, info=info))}


def _capsule(given: Given) -> dict[str, Any]:
    inner_suite, outer_suite = Suite(given["compartment_suite"]), Suite(given["lock_suite"])
    wrap = _wrap(given["coordinates"], Suite(given["coordinates"]["inner_suite"]), outer_suite)
    lock = open_lock_key(Secret(_raw(given["lock_seed"])), outer_suite)
    inner = lock.open_outer_lock(wrap, _raw(given["capsule"]))
    if len(inner) != inner_size(wrap.inner_suite):
        raise AssertionError("internal: an inner lock of another size")
    compartment_key = KemPrivateKey(_raw(given["compartment_seed"]), inner_suite)
    return {"key": b64(open_inner(inner, wrap, private_key=compartment_key))}


def _padding(given: Given) -> dict[str, Any]:
    return {"padded": padded_document_size(given["size"])}


def _shake(size: int) -> bytes:
    return hashlib.shake_256(b"").digest(size)


def _plaintext_commitment(given: Given) -> dict[str, Any]:
    suite, key, plaintext = Suite(given["suite"]), CommitmentKey(_raw(given["key"])), _shake(given["size"])
    starts = range(0, max(1, len(plaintext)), 1 << 20)
    leaves = [commit_leaf(suite, key, memoryview(plaintext)[start : start + (1 << 20)]) for start in starts]
    return {"commitment": b64(commit_plaintext(suite, key, true_size=given["size"], leaf_commitments=leaves))}


def _metadata_commitment(given: Given) -> dict[str, Any]:
    commitment = commit_metadata(Suite(given["suite"]), CommitmentKey(_raw(given["key"])), given["metadata"].encode())
    return {"commitment": b64(commitment)}


def _content_digest(given: Given) -> dict[str, Any]:
    suite, size = Suite(given["suite"]), given["ciphertext_size"]
    ciphertext = memoryview(_shake(size))
    ranges = [layout.leaf_range(size, leaf) for leaf in range(layout.leaf_count(size))]
    leaves = b"".join(layout.leaf_digest(suite, ciphertext[start:end]) for start, end in ranges)
    return {
        "leaf_list": b64(leaves),
        "digest": b64(layout.content_digest(suite, ciphertext_size=size, leaf_digests=leaves)),
    }


def _version(given: Given) -> dict[str, Any]:
    manifest = Signed.parse(given["manifest"], Manifest)
    body = manifest.body
    asked = (RecordId.parse(given["record"]), DocumentId.parse(given["document"]), given["version"])
    if (body.record, body.document, body.version) != asked:
        raise MalformedError("another version than the one asked for")
    person = verify_bundle(body.author, PersonBundle.model_validate(given["person"]))
    manifest.verify(person.device_key(body.device, at=body.created_at))
    identity = body.identity_tuple()
    reseal = None if given["reseal"] is None else _verify_reseal(given["reseal"], manifest, person)
    no_capsule = Capsule.model_construct()  # both locks are off already
    version = Version(manifest, reseal, _raw(given["metadata"]), no_capsule, filings=())
    metadata = parse_committed(
        open_metadata(
            version.metadata,
            digest=version.metadata_digest,
            metadata_key=MetadataKey(_raw(given["metadata_key"])),
            context=identity.metadata_context(),
        ),
        body,
    )
    sealed = SealedContent(
        suites=version.content_suites,
        true_size=metadata.size,
        ciphertext_size=version.ciphertext_size,
        digest=version.digest,
        leaf_digests=_raw(given["leaf_list"]),
        plaintext_commitment=body.plaintext_commitment,
    )
    content = open_bytes(
        _raw(given["ciphertext"]),
        sealed=sealed,
        content_key=ContentKey(_raw(given["content_key"])),
        context=identity.content_context(),
        commitment_key=CommitmentKey(metadata.commitment_key.raw),
    )
    return {"content": b64(content), "metadata": json.loads(metadata.formatted())}


def _recovery(given: Given) -> dict[str, Any]:
    secret = RecoverySecret.from_words(given["words"])
    bundle = {"identities": given["identities"], "devices": [], "removals": []}
    view = RecoveryView.model_validate({"person": bundle, "recoveries": given["recoveries"]})
    person = recovery._verify_person(view, secret.derive_root_signer(), secret)
    if person.identity != IdentityHash.parse(given["identity"]):
        raise MalformedError("another person than the one on the page")
    held = recovery._open_account_keys(person, recovery._verify_recoveries(view, person), secret)
    return {"account_keys": [b64(entry.account_key.reveal()) for entry in reversed(held)]}


def _device_name(given: Given) -> dict[str, Any]:
    name = open_device_name(
        _raw(given["sealed_name"]),
        device_name_key=AccountKey(_raw(given["account_key"])).derive_device_name_key(),
        identity=IdentityHash.parse(given["identity"]),
        device_key=Ed25519PublicKey.parse(given["device_key"]),
    )
    return {"name": name}


def _keyring(given: Given) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        text = json.dumps(given["keyring"], sort_keys=True, separators=(",", ":"))
        home.store(keyring_file.KEYRING_FILE, text.encode())
        file = keyring_file.load_keyring_file(home)
    slot = file.slots[0]
    key = derive_passphrase_slot_key(slot, given["passphrase"], DeviceSecret(_raw(given["device_secret"])))
    account_key = open_slot(slot, key, identity=file.identity)
    context = keyring_file._body_context(file.identity, file.version)
    body = open_secret(account_key.derive_keyring_body_key(), file.body, context=context)
    return {"account_key": b64(account_key.reveal()), "body": body.decode()}


def _device_pairing(given: Given) -> dict[str, Any]:
    if given["request"] != given["request"].strip():
        raise MalformedError("a request has no white space")
    request = pairing.PairingRequest.parse(given["request"])
    device, kem_key = pairing._derive_pairing_keys(AccountKey(_raw(given["pairing_secret"])), request.suite)
    if request.device_key != device.public_key or request.kem_key != kem_key.public_key:
        raise MalformedError("another request than the one of the secret")
    plaintext = open_message(_raw(given["answer"]), kem_key, info=pairing._answer_info(request))
    answer = pairing._AnswerFile.model_validate(parse_canonical_json(plaintext))
    if answer.card_key != Fingerprint.parse(given["card_key"]):
        raise MalformedError("another deployment's card")
    person = verify_bundle(pairing._identity_of(answer.person), answer.person)
    pairing._find_enrolled(person, device.public_key)
    held = pairing._verify_account_keys(answer, person)
    keys = [
        {"key": b64(entry.account_key.reveal()), "statement": str(entry.statement), "suite": int(entry.suite)}
        for entry in held
    ]
    return {"code": request.short_code, "identity": str(person.identity), "account_keys": keys}


def _readers_commitment(given: Given) -> dict[str, Any]:
    commitment = commit_to_readers(
        _raw(given["salt"]),
        grants=[StatementHash.parse(name) for name in given["grants"]],
        revocations=[StatementHash.parse(name) for name in given["revocations"]],
    )
    return {"commitment": str(commitment)}


def _lock_at_rest(given: Given) -> dict[str, Any]:
    associated = pack(labels.RECORD_LOCK_AT_REST, _raw(given["record"]), given["lock_version"], given["master_version"])
    return {
        "seed": b64(open_at_rest(Secret(_raw(given["master_key"])), _raw(given["sealed"]), aad=associated).reveal())
    }


def _request(given: Given) -> dict[str, Any]:
    request = parse_request(
        method=given["method"],
        target=given["target"],
        headers=[(name.encode(), value.encode()) for name, value in given["headers"].items()],
    )
    verified = verify_request(
        request,
        given["body"].encode(),
        public_key=Ed25519PublicKey.parse(given["key"]),
        server=Fingerprint.parse(given["server"]),
        now=given["now"],
    )
    return {"key_id": str(verified.key_id), "nonce": str(verified.nonce)}


def _answer(given: Given) -> dict[str, Any]:
    asked = given["request"]
    request = SignedRequest(
        method=asked["method"],
        target=asked["target"],
        server=Fingerprint.parse(asked["carnet-server"]),
        content_digest=asked["content-digest"],
        key_id=KeyId(bytes(32)),
        created=given["now"],
        nonce=Nonce.parse(asked["nonce"]),
        signature_params="",
        signature=b"",
    )
    verify_answer(
        request,
        status=given["status"],
        headers=[(name.encode(), value.encode()) for name, value in given["headers"].items()],
        body=given["body"].encode(),
        public_key=Ed25519PublicKey.parse(given["key"]),
        now=given["now"],
    )
    return {"status": given["status"]}


def _event(given: Given) -> dict[str, Any]:
    receipt = Signed.parse(given["receipt"], Receipt)
    receipt.verify(Ed25519PublicKey.parse(given["log_key"]))
    body = _raw(given["body"])
    parse_canonical_json(body)
    server = Fingerprint.parse(given["server"])
    leaf = pack_event_leaf(server, given["index"], given["time"], derive_event_commitment(_raw(given["salt"]), body))
    leaf_hash = hashlib.sha256(b"\0" + leaf).digest()
    promised = (receipt.body.server, receipt.body.index, receipt.body.time, receipt.body.leaf.raw)
    if promised != (server, given["index"], given["time"], leaf_hash):
        raise MalformedError("a receipt for another event")
    return {"leaf_hex": leaf.hex(), "leaf_hash": b64(leaf_hash)}


VERDICTS: Final[dict[str, Verdict]] = {
    "answer": _answer,
    "attestation": _attestation,
    "base64url": _base64url,
    "canonical-json": _canonical_json,
    "capsule": _capsule,
    "content-digest": _content_digest,
    "device-name": _device_name,
    "device-pairing": _device_pairing,
    "document-id": _document_id,
    "event": _event,
    "fingerprint": _fingerprint,
    "keyring": _keyring,
    "lock-at-rest": _lock_at_rest,
    "pack": _pack,
    "padding": _padding,
    "person": _person,
    "metadata-commitment": _metadata_commitment,
    "plaintext-commitment": _plaintext_commitment,
    "readers-commitment": _readers_commitment,
    "recovery": _recovery,
    "request": _request,
    "sealed-box": _sealed_box,
    "short-code": _short_code,
    "statement": _statement,
    "version": _version,
}
