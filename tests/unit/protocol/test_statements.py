"""Statements: one form per value, one meaning per kind, and no other header than the constant one."""

import json
from typing import Any

import pytest

from carnet_protocol.encoding import format_base64url, format_canonical_json
from carnet_protocol.errors import MalformedError, ProtocolError, SignatureError, StatementError
from carnet_protocol.signing import Signer
from carnet_protocol.statements import KINDS, Grant, Identity, Signed, Statement
from tests.unit.protocol.samples import NOW, ROOT, STATEMENTS, signer

EVERY_KIND = pytest.mark.parametrize("kind", sorted(STATEMENTS))


def test_there_is_a_sample_of_every_kind() -> None:
    assert {statement.typ() for statement in STATEMENTS.values()} == set(KINDS)


@EVERY_KIND
def test_what_was_signed_is_parsed_and_verified(kind: str) -> None:
    body = STATEMENTS[kind]
    signed = Signed.sign(body, ROOT)
    parsed = Signed.parse(signed.text, type(body))
    assert parsed == signed
    parsed.verify(ROOT.public_key)


@EVERY_KIND
def test_another_key_does_not_verify(kind: str) -> None:
    signed = Signed.sign(STATEMENTS[kind], ROOT)
    with pytest.raises(SignatureError):
        signed.verify(signer(99).public_key)


@EVERY_KIND
def test_a_statement_of_one_kind_is_no_statement_of_another(kind: str) -> None:
    text = Signed.sign(STATEMENTS[kind], ROOT).text
    for other in STATEMENTS.values():
        if kind != other.KIND:
            with pytest.raises(MalformedError):
                Signed.parse(text, type(other))


@EVERY_KIND
def test_every_member_is_needed_and_no_other_is_taken(kind: str) -> None:
    body = STATEMENTS[kind]
    members = json.loads(body.payload())
    for name in members:
        fewer = {key: value for key, value in members.items() if key != name}
        with pytest.raises(StatementError):
            Signed.parse(_sign_members(body, fewer), type(body))
    with pytest.raises(StatementError):
        Signed.parse(_sign_members(body, members | {"note": 1}), type(body))


@EVERY_KIND
def test_every_member_of_another_type_is_refused(kind: str) -> None:
    body = STATEMENTS[kind]
    members = json.loads(body.payload())
    for name, value in members.items():
        for wrong in (True, 1.5 if isinstance(value, int) else 15, "", "\n", [None], {"a": 1}, -1):
            if wrong == value:
                continue
            with pytest.raises(ProtocolError):
                Signed.parse(_sign_members(body, members | {name: wrong}), type(body))


@EVERY_KIND
def test_any_flipped_character_is_refused(kind: str) -> None:
    body = STATEMENTS[kind]
    text = Signed.sign(body, ROOT).text
    for position in range(0, len(text), max(1, len(text) // 97)):
        flipped = text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :]
        with pytest.raises(ProtocolError):
            Signed.parse(flipped, type(body)).verify(ROOT.public_key)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "carnet.grant.v1"},
        {"alg": "EdDSA", "typ": "carnet.grant.v1"},
        {"alg": "HS256", "typ": "carnet.grant.v1"},
        {"alg": "Ed25519", "typ": "carnet.grant.v2"},
        {"alg": "Ed25519"},
        {"alg": "Ed25519", "crit": ["b64"], "typ": "carnet.grant.v1"},
        {"alg": "Ed25519", "jwk": {}, "typ": "carnet.grant.v1"},
        {"alg": "Ed25519", "jku": "https://mallory.example", "typ": "carnet.grant.v1"},
        {"alg": "Ed25519", "kid": "x", "typ": "carnet.grant.v1"},
    ],
)
def test_no_other_header_is_taken_even_when_rightly_signed(header: dict[str, Any]) -> None:
    body = STATEMENTS["grant"]
    signing_input = f"{format_base64url(format_canonical_json(header))}.{format_base64url(body.payload())}"
    text = f"{signing_input}.{format_base64url(ROOT.sign(signing_input.encode()))}"
    with pytest.raises(MalformedError):
        Signed.parse(text, Grant)


@pytest.mark.parametrize(
    "spell",
    [
        lambda payload: payload.replace(b'":', b'" :', 1),
        lambda payload: payload.replace(b"{", b'{"id":"AAAAAAAAAAAAAAAAAAAAAA",', 1),
        lambda payload: payload + b" ",
        lambda payload: b"\xef\xbb\xbf" + payload,
        lambda payload: payload.replace(b"read", b"\\u0072ead"),
        lambda payload: payload.replace(b"1800000000", b"1.8e9"),
        lambda payload: b"[" + payload + b"]",
        lambda payload: payload[:-1],
    ],
    ids=["space", "doubled", "trailing", "mark", "escape", "float", "array", "cut"],
)
def test_no_other_spelling_of_the_payload_is_taken(spell: Any) -> None:
    body = STATEMENTS["grant"]
    assert spell(body.payload()) != body.payload()
    text = ROOT.sign_jws(Grant.typ(), spell(body.payload()))
    with pytest.raises(ProtocolError):
        Signed.parse(text, Grant)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("grant", {"expires": NOW}),
        ("grant", {"expires": NOW - 1}),
        ("grant", {"expires": NOW + 366 * 86_400 + 1}),
        ("grant", {"not_before": -1}),
        ("grant", {"expires": 253_402_300_800}),
        ("grant", {"compartments": []}),
        ("grant", {"documents": ["A" * 43]}),
        ("grant", {"compartments": ["BgYGBgYGBgYGBgYGBgYGBg"] * 2}),
        ("grant", {"compartments": ["BgYGBgYGBgYGBgYGBgYGBg", "AAAAAAAAAAAAAAAAAAAAAA"]}),
        (
            "grant",
            {"permission": "deposit", "compartments": ["AAAAAAAAAAAAAAAAAAAAAA", "BgYGBgYGBgYGBgYGBgYGBg"]},
        ),
        ("grant", {"permission": "write"}),
        ("grant", {"purpose": "curiosity"}),
        ("attestation", {"expires": NOW + 90 * 86_400 + 1}),
        ("attestation", {"name": "Dr\nMallory"}),
        ("attestation", {"name": " Dr Mallory"}),
        ("attestation", {"name": "Dr \u202eyrollaM"}),
        ("attestation", {"profession": "wizard"}),
        ("identity", {"serial": 1}),
        ("identity", {"founding": "A" * 43}),
        ("identity", {"suite": 0}),
        ("identity", {"suite": 2}),
        ("identity", {"suite": 999}),
        ("identity", {"role": "admin"}),
        ("identity", {"root_key": "A" * 43}),
        ("identity", {"root_key": "AQ" + "A" * 41}),
        ("manifest", {"version": 2}),
        ("manifest", {"version": 0}),
        ("manifest", {"previous": "A" * 43}),
        ("manifest", {"grant": "A" * 43}),
        ("manifest", {"author": "A" * 43}),
        ("manifest", {"document": "A" * 43}),
        ("manifest", {"document_salt": "A" * 43}),
        ("manifest", {"ciphertext_size": 16_471}),
        ("compartment", {"epoch": 0}),
        ("compartment", {"epoch": 2}),
        ("lock", {"expires": NOW + 30 * 86_400 + 1}),
        ("revocation-list", {"next_update": NOW}),
        ("revocation-list", {"revoked": ["AQEBAQEBAQEBAQEBAQEBAQ", "AAAAAAAAAAAAAAAAAAAAAA"]}),
        ("service-card", {"registrars": []}),
    ],
)
def test_members_against_the_rules_of_the_kind_are_refused(kind: str, changes: dict[str, Any]) -> None:
    body = STATEMENTS[kind]
    text = _sign_members(body, json.loads(body.payload()) | changes)
    with pytest.raises((StatementError, MalformedError)):
        Signed.parse(text, type(body))


@pytest.mark.parametrize(
    "origin",
    [
        "http://vault.example",
        "https://vault.example/",
        "https://vault.example/path",
        "HTTPS://vault.example",
        "https://Vault.example",
        "https://user@vault.example",
        "https://vault.example?x",
        "ftp://127.0.0.1",
        "http://127.0.0.1.evil.example",
        "",
    ],
)
def test_no_other_origin_is_taken(origin: str) -> None:
    body = STATEMENTS["service-card"]
    members = json.loads(body.payload())
    members["vault"]["origin"] = origin
    with pytest.raises(StatementError):
        Signed.parse(_sign_members(body, members), type(body))


def test_a_card_in_which_two_keys_are_one_is_refused() -> None:
    body = STATEMENTS["service-card"]
    members = json.loads(body.payload())
    members["vault"]["log_key"] = members["vault"]["key"]
    with pytest.raises(StatementError):
        Signed.parse(_sign_members(body, members), type(body))


def test_a_statement_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedError, match="too long"):
        Signed.parse("A" * 65_537, Identity)


def test_a_private_key_does_not_show_itself() -> None:
    key = Signer(b"\x2a" * 32)
    assert key.seed().hex() not in repr(key)
    with pytest.raises(TypeError):
        key.__reduce__()


def _sign_members(body: Statement, members: dict[str, Any]) -> str:
    return ROOT.sign_jws(
        body.typ(), json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    )
