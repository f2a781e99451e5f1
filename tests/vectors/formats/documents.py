"""Scenarios of documents: padding, commitments, digest, content, metadata, version."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from blake3 import blake3

from carnet_protocol.encoding import format_canonical_json
from carnet_protocol.ids import DocumentSalt, RecordId, Sha256Digest, StatementHash, derive_document_id
from carnet_protocol.signing import Signer, hash_statement
from carnet_protocol.statements import Manifest, Reseal, Signed
from carnet_protocol.suites import SIZES, Suite
from carnet_protocol.tuples import IdentityTuple
from tests.vectors.deterministic import Stream, seal_content
from tests.vectors.people import ALICE, MALLORY, NOW, RECORD
from tests.vectors.scenario import Scenario, b64, cut, extend, flip

_PADDED: Final = {
    0: 16384,
    1: 16384,
    16383: 16384,
    16384: 16384,
    16385: 17408,
    20000: 20480,
    65537: 67584,
    1048576: 1048576,
    1048577: 1081344,
    10_000_000: 10_223_616,
    2**36: 2**36,
}
_LEAF: Final = 2**20
_SUFFIXES: Final = {1: "", 2: "-suite-2"}
_SEALED_LEAF: Final = 64 * 16_400


def _plaintext(size: int) -> bytes:
    """The first `size` bytes of SHAKE256 of the empty string: what the large scenarios hash."""
    return hashlib.shake_256(b"").digest(size)


def _hash(suite: int, data: bytes) -> bytes:
    return blake3(data).digest() if suite == 1 else hashlib.sha384(data).digest()


def _keyed(suite: int, key: bytes, data: bytes) -> bytes:
    return blake3(data, key=key).digest() if suite == 1 else hmac.digest(key, data, "sha384")


def _commit(suite: int, key: bytes, plaintext: bytes) -> bytes:
    leaves = [plaintext[start : start + _LEAF] for start in range(0, len(plaintext), _LEAF)] or [b""]
    digests = [_keyed(suite, key, b"\0" + leaf) for leaf in leaves]
    return _keyed(suite, key, b"\1" + len(plaintext).to_bytes(8, "big") + b"".join(digests))


def _commit_metadata(suite: int, key: bytes, metadata: bytes) -> bytes:
    return _keyed(suite, key, b"\2" + metadata)


def _leaves(suite: int, ciphertext: bytes, padded_size: int) -> bytes:
    count = max(1, -(-padded_size // _LEAF))
    starts = [0, *(56 + number * _SEALED_LEAF for number in range(1, count)), len(ciphertext)]
    return b"".join(_hash(suite, b"\0" + ciphertext[starts[number] : starts[number + 1]]) for number in range(count))


def _digest(suite: int, ciphertext_size: int, leaves: bytes) -> bytes:
    return _hash(suite, b"\1" + ciphertext_size.to_bytes(8, "big") + leaves)


def make() -> Iterator[Scenario]:
    """Every scenario."""
    for size, padded in _PADDED.items():
        yield Scenario("padding", str(size), {"size": size}, {"padded": padded})
    yield Scenario("padding", "too-large", {"size": 2**36 + 1}, None)
    for suite, suffix in _SUFFIXES.items():
        yield from _hashes(suite, suffix)
    for suite in _SUFFIXES:
        yield from _versions(suite)
    yield from _resealed()


def _hashes(suite: int, suffix: str) -> Iterator[Scenario]:
    key = Stream("commitment key").take(32)
    for size in (0, 1, _LEAF - 1, _LEAF, _LEAF + 1, 2 * _LEAF + 5):
        given: dict[str, Any] = {"suite": suite, "key": b64(key), "size": size}
        output = {"commitment": b64(_commit(suite, key, _plaintext(size)))}
        yield Scenario("plaintext-commitment", f"{size}{suffix}", given, output)
    for name, text in (
        ("empty", ""),
        ("object", '{"title":"Analyse de sang"}'),
        ("accents", '{"title":"élémentaire"}'),
    ):
        given = {"suite": suite, "key": b64(key), "metadata": text}
        output = {"commitment": b64(_commit_metadata(suite, key, text.encode()))}
        yield Scenario("metadata-commitment", f"{name}{suffix}", given, output)
    for padded in (16_384, _LEAF, _LEAF + 32_768, 2 * _LEAF):
        size = 56 + padded + 16 * (padded // 16_384 + 1)
        leaves = _leaves(suite, _plaintext(size), padded)
        output = {"leaf_list": b64(leaves), "digest": b64(_digest(suite, size, leaves))}
        yield Scenario("content-digest", f"{padded}{suffix}", {"suite": suite, "ciphertext_size": size}, output)


_METADATA: Final[dict[str, Any]] = {
    "format": "carnet.metadata.v1",
    "title": "Analyse de sang",
    "kind": {"code": "11502-2", "display": "Laboratory report", "system": "http://loinc.org"},
    "care_date": "2026-11-03",
    "author_name": "Alice Martin",
    "media_type": "text/plain",
    "size": 27,
    "file_name": "analyse.txt",
    "comment": None,
    "commitment_key": b64(Stream("commitment key").take(32)),
}
_CONTENT_KEY: Final = Stream("content key").take(32)
_METADATA_KEY: Final = Stream("metadata key").take(32)
_SALT: Final = DocumentSalt(Stream("document salt").take(32))
_OF_EVERY_SUITE: Final = {
    "good",
    "exactly-one-chunk",
    "empty",
    "ciphertext-flipped",
    "ciphertext-without-last-chunk",
    "leaf-list-flipped",
    "leaf-list-extended",
    "leaf-list-empty",
    "signed-by-another",
    "digest-of-other-bytes",
    "commitment-to-other-plaintext",
    "commitment-to-other-metadata",
    "padding-not-zero",
}
_TEXT: Final = b"Potassium 4,1 mmol/l (bon)\n"


def _seal_metadata(text: bytes, key: bytes, identity: IdentityTuple, size: int = 1024) -> bytes:
    padded = (len(text).to_bytes(4, "big") + text).ljust(size, b"\0")
    return seal_content(key, identity.metadata_context(), padded, Stream("metadata"))


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one whole version under a suite, as a reader gets it once both locks are off."""

    suite: int

    @property
    def identity(self) -> IdentityTuple:
        """Of Alice's own document."""
        document = derive_document_id(RECORD, ALICE.identity, _SALT)
        return IdentityTuple(Suite(self.suite), RECORD, document, 1, ALICE.identity)

    def build(
        self,
        *,
        plaintext: bytes = _TEXT,
        padding: bytes | None = None,
        metadata: dict[str, Any] | bytes = _METADATA,
        metadata_size: int = 1024,
        ciphertext: bytes | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """The input of a scenario; `changes` are those of the manifest."""
        identity, suite = self.identity, self.suite
        padded = plaintext.ljust(16_384, b"\0") if padding is None else plaintext + padding
        sealed = seal_content(_CONTENT_KEY, identity.content_context(), padded, Stream("content"))
        sealed = sealed if ciphertext is None else ciphertext
        text = metadata if isinstance(metadata, bytes) else format_canonical_json(metadata)
        sealed_metadata = _seal_metadata(text, _METADATA_KEY, identity, metadata_size)
        leaves = _leaves(suite, sealed, len(padded))
        manifest = Manifest(
            suite=suite,
            record=RECORD,
            document=identity.document,
            document_salt=_SALT,
            version=1,
            author=ALICE.identity,
            device=ALICE.device.hash,
            grant=None,
            previous=None,
            digest=_digest(suite, len(sealed), leaves),
            ciphertext_size=len(sealed),
            metadata_digest=Sha256Digest.of(sealed_metadata),
            plaintext_commitment=_commit(suite, Stream("commitment key").take(32), plaintext),
            metadata_commitment=_commit_metadata(suite, Stream("commitment key").take(32), text),
            created_at=NOW,
        ).model_copy(update=changes)
        return {
            "record": str(RECORD),
            "document": str(identity.document),
            "version": 1,
            "person": ALICE.bundle(),
            "content_key": b64(_CONTENT_KEY),
            "metadata_key": b64(_METADATA_KEY),
            "manifest": Signed.sign(manifest, ALICE.phone).text,
            "reseal": None,
            "metadata": b64(sealed_metadata),
            "leaf_list": b64(leaves),
            "ciphertext": b64(sealed),
        }

    def reseal(
        self, suite: int, *, plaintext: bytes = _TEXT, by: Signer = ALICE.phone, **changes: Any
    ) -> dict[str, Any]:
        """The same version after the patient made it anew under `suite`; `changes` are those of the reseal."""
        given, identity = self.build(), self.identity
        content_key, metadata_key = Stream("new content key").take(32), Stream("new metadata key").take(32)
        padded = plaintext.ljust(16_384, b"\0")
        sealed = seal_content(content_key, identity.content_context(), padded, Stream("new content"))
        metadata = _seal_metadata(format_canonical_json(_METADATA), metadata_key, identity)
        leaves = _leaves(suite, sealed, len(padded))
        body = Reseal(
            record=RECORD,
            manifest=hash_statement(given["manifest"]),
            serial=1,
            previous=None,
            suite=suite,
            digest=_digest(suite, len(sealed), leaves),
            ciphertext_size=len(sealed),
            metadata_digest=Sha256Digest.of(metadata),
            device=ALICE.device.hash,
            issued_at=NOW + 60,
        ).model_copy(update=changes)
        return given | {
            "content_key": b64(content_key),
            "metadata_key": b64(metadata_key),
            "reseal": Signed.sign(body, by).text,
            "metadata": b64(metadata),
            "leaf_list": b64(leaves),
            "ciphertext": b64(sealed),
        }


def _resealed() -> Iterator[Scenario]:
    """Versions made anew: under the author's suite, under a later one, and what does not follow from the manifest."""
    output = {"content": b64(_TEXT), "metadata": _METADATA}
    first, second = _Maker(1), _Maker(2)
    for name, given in (
        ("suite-1", first.reseal(1)),
        ("suite-2", second.reseal(2)),
        ("suite-2-over-1", first.reseal(2)),
    ):
        yield Scenario("version", f"resealed-{name}", given, output)
    good = first.reseal(2)
    bad: dict[str, dict[str, Any]] = {
        "suite-1-over-2": second.reseal(1),
        "of-another-manifest": first.reseal(2, manifest=StatementHash(bytes(32))),
        "of-another-record": first.reseal(2, record=RecordId.of(MALLORY.identity)),
        "by-another": first.reseal(2, by=MALLORY.phone),
        "other-text": first.reseal(2, plaintext=_TEXT.replace(b"bon", b"bas")),
        "leaf-list-of-the-manifest": good | {"leaf_list": first.build()["leaf_list"]},
        "ciphertext-flipped": good | {"ciphertext": flip(good["ciphertext"], 5_000)},
        "old-ciphertext": first.build() | {"reseal": good["reseal"]},
        "without-its-statement": good | {"reseal": None},
    }
    for name, given in bad.items():
        yield Scenario("version", f"resealed-{name}", given, None)


def _versions(suite: int) -> Iterator[Scenario]:
    """One whole version; of suite 2 what concerns its digests and commitments."""
    for scenario in _all_versions(suite):
        if suite == 1:
            yield scenario
        elif scenario.name in _OF_EVERY_SUITE:
            yield replace(scenario, name=scenario.name + _SUFFIXES[suite])


def _all_versions(suite: int) -> Iterator[Scenario]:
    maker = _Maker(suite)
    build, size = maker.build, SIZES[Suite(suite)].content_digest
    good = build()
    ciphertext = good["ciphertext"]
    yield Scenario("version", "good", good, {"content": b64(_TEXT), "metadata": _METADATA})
    exact = bytes(range(256)) * 64
    sized = _METADATA | {"size": 16_384}
    yield Scenario(
        "version",
        "exactly-one-chunk",
        build(plaintext=exact, metadata=sized),
        {"content": b64(exact), "metadata": sized},
    )
    empty = _METADATA | {"size": 0}
    yield Scenario("version", "empty", build(plaintext=b"", metadata=empty), {"content": "", "metadata": empty})
    bad: dict[str, dict[str, Any]] = {
        "ciphertext-flipped": {"ciphertext": flip(ciphertext, 5_000)},
        "ciphertext-cut": {"ciphertext": cut(ciphertext)},
        "ciphertext-extended": {"ciphertext": extend(ciphertext)},
        "ciphertext-without-last-chunk": {"ciphertext": b64(_bytes(ciphertext)[:-16])},
        "leaf-list-flipped": {"leaf_list": flip(good["leaf_list"])},
        "leaf-list-extended": {"leaf_list": b64(_bytes(good["leaf_list"]) + bytes(size))},
        "leaf-list-empty": {"leaf_list": ""},
        "metadata-flipped": {"metadata": flip(good["metadata"], 70)},
        "metadata-cut": {"metadata": cut(good["metadata"])},
        "other-content-key": {"content_key": b64(bytes(32))},
        "other-metadata-key": {"metadata_key": b64(bytes(32))},
        "keys-swapped": {"content_key": good["metadata_key"], "metadata_key": good["content_key"]},
        "other-record": {"record": str(MALLORY.identity)},
        "other-document": {"document": flip(good["document"])},
        "other-version": {"version": 2},
        "signed-by-another": {
            "manifest": Signed.sign(Signed.parse(good["manifest"], Manifest).body, MALLORY.phone).text
        },
        "person-of-another": {"person": MALLORY.bundle()},
    }
    for name, changes in bad.items():
        yield Scenario("version", name, good | changes, None)
    content_for_metadata = seal_content(
        _CONTENT_KEY, maker.identity.metadata_context(), _TEXT.ljust(16_384, b"\0"), Stream("x")
    )
    dropped = {key: value for key, value in _METADATA.items() if key != "comment"}
    resigned: dict[str, dict[str, Any]] = {
        "digest-of-other-bytes": build(digest=bytes(size)),
        "size-of-other-bytes": build(ciphertext_size=16_473),
        "metadata-digest-of-other-bytes": build(metadata_digest=Sha256Digest(bytes(32))),
        "commitment-to-other-plaintext": build(plaintext_commitment=bytes(size)),
        "commitment-to-other-metadata": build(metadata_commitment=bytes(size)),
        "padding-not-zero": build(padding=b"\1".rjust(16_384 - len(_TEXT), b"\0")),
        "padding-too-long": build(padding=bytes(32_768 - len(_TEXT))),
        "size-too-large": build(metadata=_METADATA | {"size": 28}),
        "size-too-small": build(metadata=_METADATA | {"size": 26}),
        "size-negative": build(metadata=_METADATA | {"size": -1}),
        "context-of-metadata": build(ciphertext=content_for_metadata),
        "metadata-padding-too-long": build(metadata_size=2048),
        "metadata-member-missing": build(metadata=dropped),
        "metadata-member-unknown": build(metadata=_METADATA | {"zz": 1}),
        "metadata-not-canonical": build(metadata=json.dumps(_METADATA).encode()),
        "metadata-format-2": build(metadata=_METADATA | {"format": "carnet.metadata.v2"}),
        "metadata-path-up": build(metadata=_METADATA | {"file_name": "../../etc/passwd"}),
        "metadata-path-windows": build(metadata=_METADATA | {"file_name": "..\\evil.txt"}),
        "metadata-file-name-dots": build(metadata=_METADATA | {"file_name": ".."}),
        "metadata-file-name-control": build(metadata=_METADATA | {"file_name": "a\u0000b"}),
        "metadata-title-empty": build(metadata=_METADATA | {"title": ""}),
        "metadata-title-control": build(metadata=_METADATA | {"title": "a\u001b[2Jb"}),
        "metadata-impossible-date": build(metadata=_METADATA | {"care_date": "2026-02-30"}),
        "metadata-short-commitment-key": build(metadata=_METADATA | {"commitment_key": "AA"}),
        "metadata-other-kind-system": build(
            metadata=_METADATA | {"kind": {"code": "1", "display": "x", "system": "http://mallory.example"}}
        ),
    }
    for name, given in resigned.items():
        yield Scenario("version", name, given, None)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
