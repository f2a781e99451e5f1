"""Scenarios of signed answers of one server to the other: to one request, in one spelling, within a minute."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final

from carnet_protocol.signing import Signer
from tests.vectors.deterministic import Stream
from tests.vectors.people import KEYSERVICE, NOW, VAULT
from tests.vectors.scenario import Scenario, b64

_TARGET: Final = "https://vault.example/v1/rotation/capsules"
_BODY: Final = '{"records":[],"after":null,"limit":1}'
_ANSWER: Final = '{"capsules":[],"next":null}'
_COMPONENTS: Final = (
    '("@status" "content-digest" "@method";req "@target-uri";req "content-digest";req "carnet-server";req)'
)


def make() -> Iterator[Scenario]:
    """Every scenario. The reader plays the server that asked, at the time `now`, and knows what it asked."""
    good = _answer()
    yield Scenario("answer", "page", good, {"status": 200})
    yield Scenario("answer", "empty-body", _answer(body=""), {"status": 200})
    for name, now in {"sixty-seconds-late": NOW + 60, "sixty-seconds-early": NOW - 60}.items():
        yield Scenario("answer", name, good | {"now": now}, {"status": 200})
    asked = good["request"]
    changes: dict[str, dict[str, Any]] = {
        "stale": {"now": NOW + 61},
        "from-the-future": {"now": NOW - 61},
        "other-status": {"status": 201},
        "other-body": {"body": _ANSWER.replace("null", '"more"')},
        "other-key": {"key": str(KEYSERVICE.public_key)},
        "to-another-nonce": {"request": asked | {"nonce": b64(Stream("another nonce").take(16))}},
        "to-another-method": {"request": asked | {"method": "PUT"}},
        "to-another-target": {"request": asked | {"target": _TARGET.replace("capsules", "counts")}},
        "to-another-body": {"request": asked | {"content-digest": _digest(_BODY + " ")}},
        "of-another-server": {"request": asked | {"carnet-server": str(KEYSERVICE.public_key.fingerprint())}},
    }
    for name, change in changes.items():
        yield Scenario("answer", name, good | change, None)
    headers = good["headers"]
    for name in headers:
        fewer = {key: value for key, value in headers.items() if key != name}
        yield Scenario("answer", f"without-{name}", good | {"headers": fewer}, None)
    spelled = headers["signature-input"]
    spellings = {
        "second-signature": {
            "signature-input": f"{spelled}, b={spelled.removeprefix('carnet=')}",
            "signature": f"{headers['signature']}, b={headers['signature'].removeprefix('carnet=')}",
        },
        "space-in-input": {"signature-input": spelled.replace(";", "; ", 1)},
        "url-safe-signature": {"signature": headers["signature"].replace("+", "-").replace("/", "_").replace("==", "")},
    }
    for name, change in spellings.items():
        yield Scenario("answer", name, good | {"headers": headers | change}, None)
    orders: dict[str, dict[str, Any]] = {
        "components-reordered": {
            "components": '("content-digest" "@status" "@method";req "@target-uri";req "content-digest";req '
            '"carnet-server";req)'
        },
        "component-missing": {"components": _COMPONENTS.replace(' "content-digest";req', "")},
        "component-not-of-the-request": {"components": _COMPONENTS.replace('"@method";req', '"@method"')},
        "tag-of-a-request": {"tag": "carnet-request-v1"},
        "algorithm-other": {"algorithm": "hmac-sha256"},
        "parameter-expires": {"more": f";expires={NOW + 60}"},
        "created-with-zero": {"created": f"0{NOW}"},
        "signed-by-another": {"signer": KEYSERVICE},
        "key-id-of-another": {"key_id": str(KEYSERVICE.public_key.fingerprint())},
    }
    for name, change in orders.items():
        yield Scenario("answer", name, _answer(**change), None)


def _digest(body: str) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}:"


def _answer(
    *,
    body: str = _ANSWER,
    components: str = _COMPONENTS,
    algorithm: str = "ed25519",
    tag: str = "carnet-answer-v1",
    created: str = str(NOW),
    more: str = "",
    signer: Signer = VAULT,
    key_id: str | None = None,
) -> dict[str, Any]:
    server = str(VAULT.public_key.fingerprint())
    asked = {
        "method": "POST",
        "target": _TARGET,
        "content-digest": _digest(_BODY),
        "carnet-server": server,
        "nonce": b64(Stream("nonce of a server").take(16)),
    }
    parameters = (
        f'{components};created={created};keyid="{key_id or server}";alg="{algorithm}"'
        f';nonce="{asked["nonce"]}";tag="{tag}"{more}'
    )
    values = {
        '"@status"': "200",
        '"content-digest"': _digest(body),
        '"@method";req': "POST",
        '"@method"': "POST",
        '"@target-uri";req': _TARGET,
        '"content-digest";req': asked["content-digest"],
        '"carnet-server";req': server,
    }
    lines = [f"{name}: {values[name]}" for name in components[1:-1].split(" ")]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    return {
        "request": asked,
        "status": 200,
        "headers": {
            "content-digest": _digest(body),
            "signature-input": f"carnet={parameters}",
            "signature": f"carnet=:{base64.b64encode(signer.sign(base.encode())).decode()}:",
        },
        "body": body,
        "key": str(VAULT.public_key),
        "now": NOW,
    }
