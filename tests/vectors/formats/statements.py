"""Scenarios of the statement format: every kind, and everything that is no statement."""

import json
from collections.abc import Iterator
from typing import Any

from carnet_protocol.encoding import format_base64url, format_canonical_json
from carnet_protocol.signing import Signer, hash_statement
from carnet_protocol.statements import Grant, Statement
from tests.unit.protocol.samples import NOW, ROOT, STATEMENTS, signer
from tests.vectors.scenario import Scenario, b64, flip

_HEADERS: dict[str, dict[str, Any]] = {
    "alg-none": {"alg": "none", "typ": "carnet.grant.v1"},
    "alg-eddsa": {"alg": "EdDSA", "typ": "carnet.grant.v1"},
    "alg-hs256": {"alg": "HS256", "typ": "carnet.grant.v1"},
    "no-typ": {"alg": "Ed25519"},
    "typ-v2": {"alg": "Ed25519", "typ": "carnet.grant.v2"},
    "crit": {"alg": "Ed25519", "crit": ["b64"], "typ": "carnet.grant.v1"},
    "jwk": {"alg": "Ed25519", "jwk": {}, "typ": "carnet.grant.v1"},
    "jku": {"alg": "Ed25519", "jku": "https://mallory.example", "typ": "carnet.grant.v1"},
    "kid": {"alg": "Ed25519", "kid": "AA", "typ": "carnet.grant.v1"},
}
_AGAINST_THE_RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "grant-ends-as-it-begins": ("grant", {"expires": NOW}),
    "grant-inverted": ("grant", {"expires": NOW - 1}),
    "grant-longer-than-a-year": ("grant", {"expires": NOW + 366 * 86_400 + 1}),
    "grant-negative-time": ("grant", {"not_before": -1}),
    "grant-year-10000": ("grant", {"not_before": 253_402_300_799, "expires": 253_402_300_800}),
    "grant-of-nothing": ("grant", {"compartments": []}),
    "grant-of-both": ("grant", {"documents": ["A" * 43]}),
    "grant-doubled-compartment": ("grant", {"compartments": ["BgYGBgYGBgYGBgYGBgYGBg"] * 2}),
    "grant-unsorted": ("grant", {"compartments": ["BgYGBgYGBgYGBgYGBgYGBg", "AAAAAAAAAAAAAAAAAAAAAA"]}),
    "deposit-into-two": (
        "grant",
        {"permission": "deposit", "compartments": ["AAAAAAAAAAAAAAAAAAAAAA", "BgYGBgYGBgYGBgYGBgYGBg"]},
    ),
    "grant-unknown-permission": ("grant", {"permission": "write"}),
    "grant-unknown-purpose": ("grant", {"purpose": "curiosity"}),
    "grant-time-as-text": ("grant", {"expires": str(NOW + 5)}),
    "grant-time-as-true": ("grant", {"not_before": True}),
    "attestation-too-long": ("attestation", {"expires": NOW + 90 * 86_400 + 1}),
    "attestation-control-character": ("attestation", {"name": "Dr\nMallory"}),
    "attestation-leading-space": ("attestation", {"name": " Dr Mallory"}),
    "attestation-right-to-left-override": ("attestation", {"name": "Dr \u202eyrollaM"}),
    "attestation-of-oneself": ("attestation", {"succeeds": "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}),
    "identity-low-order-key": ("identity", {"root_key": "AQ" + "A" * 41}),
    "identity-zero-key": ("identity", {"root_key": "A" * 43}),
    "identity-later-without-founding": ("identity", {"serial": 1}),
    "identity-unknown-suite": ("identity", {"suite": 999}),
    "identity-reserved-suite": ("identity", {"suite": 2}),
    "identity-short-kem-key": ("identity", {"account_kem_key": "A" * 1620}),
    "manifest-of-another-author": ("manifest", {"author": "A" * 43}),
    "manifest-of-another-salt": ("manifest", {"document_salt": "A" * 43}),
    "manifest-version-2-alone": ("manifest", {"version": 2}),
    "manifest-version-0": ("manifest", {"version": 0}),
    "manifest-impossibly-small": ("manifest", {"ciphertext_size": 16_471}),
    "manifest-patient-with-grant": ("manifest", {"grant": "A" * 43}),
    "compartment-epoch-2-alone": ("compartment", {"epoch": 2}),
    "destruction-of-nothing": ("destruction", {"version": None}),
    "destruction-of-two-things": ("destruction", {"retired_before": NOW}),
    "destruction-of-another-thing": ("destruction", {"destroys": "record-locks"}),
    "destruction-for-longer": ("destruction", {"expires": NOW + 7 * 86_400 + 1}),
    "lock-too-long": ("lock", {"expires": NOW + 30 * 86_400 + 1}),
    "revocation-list-unsorted": (
        "revocation-list",
        {"revoked": ["AQEBAQEBAQEBAQEBAQEBAQ", "AAAAAAAAAAAAAAAAAAAAAA"]},
    ),
    "card-plain-http": (
        "service-card",
        {"vault": json.loads(STATEMENTS["service-card"].payload())["vault"] | {"origin": "http://vault.example"}},
    ),
    "card-suite-0": ("service-card", {"suite_floor": 0}),
    "card-suite-too-large": ("service-card", {"write_suite": 65_536}),
    "card-writes-below-its-floor": ("service-card", {"suite_floor": 2}),
    "card-one-key-twice": (
        "service-card",
        {"card_key": json.loads(STATEMENTS["service-card"].payload())["vault"]["key"]},
    ),
}
_IN_SUITE_2: dict[str, tuple[str, dict[str, Any]]] = {
    "identity": ("identity", {"account_kem_key": 1665}),
    "compartment": ("compartment", {"compartment_key": 1665, "sealed_name": 1817, "sealed_opening": 1721}),
    "compartment-opening-in-suite-1": ("compartment", {"compartment_key": 1665, "sealed_name": 1817}),
    "lock": ("lock", {"lock_key": 1665}),
    "manifest": ("manifest", {"digest": 48, "plaintext_commitment": 48, "metadata_commitment": 48}),
    "reseal": ("reseal", {"digest": 48}),
    "grant-note": ("grant", {"sealed_note": 1945}),
}
_SPELLINGS = {
    "spelling-space": lambda payload: payload.replace(b'":', b'" :', 1),
    "spelling-doubled-member": lambda payload: payload.replace(b"{", b'{"id":"AAAAAAAAAAAAAAAAAAAAAA",', 1),
    "spelling-trailing-space": lambda payload: payload + b" ",
    "spelling-escape": lambda payload: payload.replace(b"read", b"\\u0072ead"),
    "spelling-float": lambda payload: payload.replace(b"1800000000", b"1.8e9"),
    "spelling-array": lambda payload: b"[" + payload + b"]",
    "spelling-padded-bytes": lambda payload: payload.replace(b'"purpose"', b'"purpose"').replace(
        b'"AAAAAAAAAAAAAAAAAAAAAA"', b'"AAAAAAAAAAAAAAAAAAAAAA=="'
    ),
}


def make() -> Iterator[Scenario]:
    """Every scenario. The reader is told the kind to expect and the key to verify with."""
    for kind, body in STATEMENTS.items():
        text = ROOT.sign_jws(body.typ(), body.payload())
        yield _scenario(kind, kind, text, hashed=True)
        yield _scenario(f"{kind}-other-key", kind, text, key=signer(99))
        yield _scenario(f"{kind}-flipped-signature", kind, text[:-86] + flip(text[-86:], 40))
        members = json.loads(body.payload())
        dropped = {name: value for name, value in members.items() if name != max(members)}
        yield _scenario(f"{kind}-member-missing", kind, _sign(body, dropped))
        yield _scenario(f"{kind}-member-unknown", kind, _sign(body, members | {"zz": None}))
    grant = STATEMENTS["grant"]
    text = ROOT.sign_jws(grant.typ(), grant.payload())
    yield _scenario("grant-read-as-revocation", "revocation", text)
    yield _scenario("cut", "grant", text[:-1])
    yield _scenario("without-signature", "grant", text.rpartition(".")[0] + ".")
    yield _scenario("four-segments", "grant", text + ".AA")
    yield _scenario("padded-signature", "grant", text + "==")
    for name, header in _HEADERS.items():
        yield _scenario(f"header-{name}", "grant", _sign_with_header(header, grant))
    for name, spell in _SPELLINGS.items():
        yield _scenario(name, "grant", ROOT.sign_jws(Grant.typ(), spell(grant.payload())))
    for name, (kind, sizes) in _IN_SUITE_2.items():
        yield from _in_suite_2(name, STATEMENTS[kind], {member: b64(bytes(size)) for member, size in sizes.items()})
    for name, (kind, changes) in _AGAINST_THE_RULES.items():
        body = STATEMENTS[kind]
        yield _scenario(name, kind, _sign(body, json.loads(body.payload()) | changes))


def _in_suite_2(name: str, body: Statement, changes: dict[str, Any]) -> Iterator[Scenario]:
    """A statement of suite 2; with the sizes of suite 1, one field after the other, it is refused."""
    members, kind = json.loads(body.payload()), body.typ().split(".")[1]
    suite = {"suite": 2} if "suite" in members else {}
    yield _scenario(f"{name}-suite-2", kind, _sign(body, members | changes | suite), hashed=True)
    for member, value in changes.items():
        if suite and member != "sealed_opening":  # which is sealed to a key of another statement
            wrong = members | changes | suite | {member: members[member]}
            yield _scenario(f"{name}-suite-2-short-{member.replace('_', '-')}", kind, _sign(body, wrong))
            wrong = members | {member: value}
            yield _scenario(f"{name}-suite-1-long-{member.replace('_', '-')}", kind, _sign(body, wrong))


def _scenario(name: str, kind: str, text: str, *, key: Signer = ROOT, hashed: bool = False) -> Scenario:
    given = {"kind": kind, "key": str(key.public_key), "statement": text}
    return Scenario("statement", name, given, {"hash": str(hash_statement(text))} if hashed else None)


def _sign(body: Statement, members: dict[str, Any]) -> str:
    payload = json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return ROOT.sign_jws(body.typ(), payload)


def _sign_with_header(header: dict[str, Any], body: Statement) -> str:
    signing_input = f"{format_base64url(format_canonical_json(header))}.{format_base64url(body.payload())}"
    return f"{signing_input}.{format_base64url(ROOT.sign(signing_input.encode()))}"
