"""Scenarios of signed requests: one spelling, one target, one server, one minute."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any, Final

from carnet_protocol.signing import Signer
from tests.vectors.deterministic import Stream
from tests.vectors.people import ALICE, BOB, KEYSERVICE, NOW, RECORD, VAULT
from tests.vectors.scenario import Scenario, b64

_ORIGIN: Final = "https://keys.example"
_TARGET: Final = f"{_ORIGIN}/v1/records/{RECORD}/releases"
_BODY: Final = '{"grant":null}'
_COMPONENTS: Final = '("@method" "@target-uri" "content-digest" "carnet-server")'


def make() -> Iterator[Scenario]:
    """Every scenario. The reader plays the server whose fingerprint is given, at the time `now`."""
    good = _request()
    output = {"key_id": str(ALICE.device.hash), "nonce": _nonce()}
    yield Scenario("request", "post", good, output)
    target = f"{_ORIGIN}/v1/records/{RECORD}/access?grant={BOB.founding.hash}"
    yield Scenario("request", "get-with-query", _request(method="GET", target=target, body=""), output)
    for name, now in {"sixty-seconds-late": NOW + 60, "sixty-seconds-early": NOW - 60}.items():
        yield Scenario("request", name, good | {"now": now}, output)
    headers = good["headers"]
    changes: dict[str, dict[str, Any]] = {
        "stale": {"now": NOW + 61},
        "from-the-future": {"now": NOW - 61},
        "other-method": {"method": "PUT"},
        "other-path": {"target": _TARGET + "s"},
        "other-query": {"target": _TARGET + "?a=b"},
        "other-host": {"target": _TARGET.replace("keys", "evil")},
        "plain-http": {"target": _TARGET.replace("https", "http")},
        "other-body": {"body": _BODY + " "},
        "at-the-other-server": {"server": str(VAULT.public_key.fingerprint())},
        "other-key": {"key": str(BOB.phone.public_key)},
    }
    for name, change in changes.items():
        yield Scenario("request", name, good | change, None)
    for name in headers:
        fewer = {key: value for key, value in headers.items() if key != name}
        yield Scenario("request", f"without-{name}", good | {"headers": fewer}, None)
    spelled = headers["signature-input"]
    spellings = {
        "second-signature": {
            "signature-input": f"{spelled}, b={spelled.removeprefix('carnet=')}",
            "signature": f"{headers['signature']}, b={headers['signature'].removeprefix('carnet=')}",
        },
        "other-label": {
            "signature-input": spelled.replace("carnet=", "sig1=", 1),
            "signature": headers["signature"].replace("carnet=", "sig1=", 1),
        },
        "space-in-input": {"signature-input": spelled.replace(";", "; ", 1)},
        "url-safe-signature": {"signature": headers["signature"].replace("+", "-").replace("/", "_").replace("==", "")},
    }
    for name, change in spellings.items():
        yield Scenario("request", name, good | {"headers": headers | change}, None)
    orders: dict[str, dict[str, Any]] = {
        "components-reordered": {
            "components": '("@target-uri" "@method" "content-digest" "carnet-server")',
        },
        "component-missing": {"components": '("@method" "@target-uri" "content-digest")'},
        "component-doubled": {"components": _COMPONENTS.replace('"@method"', '"@method" "@method"')},
        "component-more": {"components": _COMPONENTS.replace(")", ' "@authority")')},
        "algorithm-other": {"algorithm": "hmac-sha256"},
        "tag-other": {"tag": "carnet-request-v2"},
        "parameter-expires": {"more": f";expires={NOW + 60}"},
        "nonce-short": {"nonce": "AAAA"},
        "created-with-zero": {"created": f"0{NOW}"},
    }
    for name, change in orders.items():
        yield Scenario("request", name, _request(**change), None)


def _nonce() -> str:
    return b64(Stream("nonce").take(16))


def _request(
    *,
    method: str = "POST",
    target: str = _TARGET,
    body: str = _BODY,
    components: str = _COMPONENTS,
    algorithm: str = "ed25519",
    tag: str = "carnet-request-v1",
    nonce: str | None = None,
    created: str = str(NOW),
    more: str = "",
    signer: Signer = ALICE.phone,
) -> dict[str, Any]:
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}:"
    server = str(KEYSERVICE.public_key.fingerprint())
    parameters = (
        f'{components};created={created};keyid="{ALICE.device.hash}";alg="{algorithm}"'
        f';nonce="{_nonce() if nonce is None else nonce}";tag="{tag}"{more}'
    )
    values = {
        '"@method"': method,
        '"@target-uri"': target,
        '"content-digest"': digest,
        '"carnet-server"': server,
        '"@authority"': "keys.example",
    }
    lines = [f"{name}: {values[name]}" for name in components[1:-1].split(" ")]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    return {
        "method": method,
        "target": target,
        "headers": {
            "carnet-server": server,
            "content-digest": digest,
            "signature-input": f"carnet={parameters}",
            "signature": f"carnet=:{base64.b64encode(signer.sign(base.encode())).decode()}:",
        },
        "body": body,
        "key": str(ALICE.phone.public_key),
        "server": server,
        "now": NOW,
    }
