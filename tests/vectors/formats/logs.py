"""Scenarios of the log: an event with its opening, and the receipt for it."""

import hashlib
from collections.abc import Iterator

from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.ids import Sha256Digest, derive_event_commitment, pack_event_leaf
from carnet_protocol.statements import Receipt, Signed
from tests.vectors.deterministic import Stream
from tests.vectors.formats.boxes import DOCUMENT, GRANT
from tests.vectors.people import BOB, KEYSERVICE, KEYSERVICE_LOG, NOW, RECORD, VAULT, VAULT_LOG
from tests.vectors.scenario import Scenario, b64, flip


def make() -> Iterator[Scenario]:
    """Every scenario: whether this is the event that the receipt promises."""
    body = format_canonical_json(
        {
            "kind": "release.open",
            "record": str(RECORD),
            "by": str(BOB.identity),
            "device": str(BOB.device.hash),
            "grant": str(GRANT),
            "statement": None,
            "documents": [{"document": str(DOCUMENT), "role": "content", "version": 1}],
            "detail": None,
        }
    )
    salt = Stream("event salt").take(32)
    commitment = derive_event_commitment(salt, body)
    server = KEYSERVICE.public_key.fingerprint()
    leaf = pack_event_leaf(server, 41, NOW, commitment)
    leaf_hash = hashlib.sha256(b"\0" + leaf).digest()
    receipt = Receipt(server=server, index=41, time=NOW, leaf=Sha256Digest(leaf_hash))
    given = {
        "server": str(server),
        "log_key": str(KEYSERVICE_LOG.public_key),
        "index": 41,
        "time": NOW,
        "salt": b64(salt),
        "body": b64(body),
        "receipt": Signed.sign(receipt, KEYSERVICE_LOG).text,
    }
    yield Scenario("event", "good", given, {"leaf_hex": leaf.hex(), "leaf_hash": b64(leaf_hash)})
    changes: dict[str, dict[str, object]] = {
        "body-changed": {"body": b64(body.replace(b"release.open", b"release.list"))},
        "body-not-canonical": {"body": b64(body + b" ")},
        "salt-changed": {"salt": flip(b64(salt))},
        "index-changed": {"index": 40},
        "time-changed": {"time": NOW + 1},
        "other-server": {"server": str(VAULT.public_key.fingerprint())},
        "receipt-of-another-leaf": {
            "receipt": Signed.sign(receipt.model_copy(update={"leaf": Sha256Digest(bytes(32))}), KEYSERVICE_LOG).text
        },
        "receipt-of-another-log": {"receipt": Signed.sign(receipt, VAULT_LOG).text},
        "receipt-signed-by-the-statement-key": {"receipt": Signed.sign(receipt, KEYSERVICE).text},
    }
    for name, change in changes.items():
        yield Scenario("event", name, given | change, None)
