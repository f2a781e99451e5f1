"""A stand-in for AWS KMS: a small HTTP server on loopback that speaks its JSON protocol for the calls that we make.

    with KmsStandIn.running() as kms:
        provider = AwsKmsProvider(region=kms.region, endpoint_url=kms.url, key_service=...)

It keeps real keys, encrypts under them with AES-GCM, binds the encryption context, gives every key its state, refuses
what KMS refuses in that state, and knows one account with one access key. A test takes it away and brings it back,
denies actions, throttles, cuts answers off, or lets days pass.

It is written from the documentation of KMS, by those who wrote the program that is tested with it. So it proves that
our calls are formed, ordered, bounded, repeated and explained as we mean them, and **not** that KMS answers like this:
not its eventual consistency, its policies, its quotas, its exact messages, or what it does in a region. Of a signature
it checks that it is there, of the right form, for this account, region and service, and made in these minutes; not that
it is right. There is no TLS. Nobody but a test should ever use it: its keys are in the memory of the test.
"""

import base64
import contextlib
import json
import os
import re
import secrets
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import override

REGION: Final = "eu-west-3"
ACCOUNT: Final = "111122223333"
_SIGNATURE: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=[0-9a-f]{64}"
)
_SIGNED: Final = {"host", "x-amz-date", "x-amz-target"}
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"
_ALIAS: Final = re.compile(r"alias/[a-zA-Z0-9/_-]{1,250}")
_WINDOW: Final = range(7, 31)

Members = dict[str, Any]


class KmsRefusal(Exception):  # noqa: N818  it is what KMS answers
    """An answer that is an error, by its code."""

    def __init__(self, code: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@dataclass
class KmsKey:
    """One key of the account, and how many days it has."""

    arn: str
    tags: dict[str, str]
    material: bytes = field(default_factory=lambda: AESGCM.generate_key(256), repr=False)
    state: str = "Enabled"
    days_left: int = 0

    def encrypt(self, plaintext: bytes, context: dict[str, str]) -> bytes:
        """A ciphertext blob that names this key."""
        nonce = secrets.token_bytes(12)
        name = self.arn.encode()
        return bytes([len(name)]) + name + nonce + AESGCM(self.material).encrypt(nonce, plaintext, _bind(context))

    def require(self, *states: str) -> None:
        """Refuse as KMS does where the key is in none of `states`."""
        if self.state not in states:
            raise KmsRefusal("DisabledException" if self.state == "Disabled" else "KMSInvalidStateException")


@dataclass
class KmsStandIn:
    """The account, and the server in front of it."""

    region: str = REGION
    access_key_id: str = field(default_factory=lambda: f"AKIA{secrets.token_hex(8).upper()}")
    keys: dict[str, KmsKey] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """The actions that were asked for, in order, refused ones too."""
    denied: set[str] = field(default_factory=set)
    """Actions that the account's policy denies."""
    refused: dict[str, str] = field(default_factory=dict)
    """Codes with which actions are refused."""
    throttled: int = 0
    """How many calls are still answered with a throttling."""
    cut: set[str] = field(default_factory=set)
    """Actions that are done and whose answer is then lost with the connection, once each."""
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    """What happens just before an action is done, once: what another process does."""
    port: int = 0
    _mutex: threading.RLock = field(default_factory=threading.RLock)
    _server: ThreadingHTTPServer | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """An empty account that answers until the end of the `with` block."""
        made = cls()
        made.bring_back()
        try:
            yield made
        finally:
            made.take_away()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def credentials_in_environment(self) -> Iterator[None]:
        """Let boto3 find who may call, and nobody else, here and in processes that are started meanwhile."""
        names = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": "the-secret-of-a-stand-in",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        for name in before:
            del os.environ[name]
        os.environ.update(names)
        try:
            yield
        finally:
            for name in names:
                os.environ.pop(name, None)
            os.environ.update(before)

    def settings(self) -> str:
        """Lines for the settings of a key service."""
        return "\n".join(
            [
                'master_key_provider = "aws-kms"',
                f'aws_kms_region = "{self.region}"',
                f'aws_kms_endpoint_url = "{self.url}"',
            ]
        )

    def take_away(self) -> None:
        """Answer nobody: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def bring_back(self) -> None:
        """Answer again, at the same address."""
        stand_in = self

        class Handler(_Handler):
            account = stand_in

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def pass_days(self, days: int) -> None:
        """Let time pass: a key whose deletion is due is gone, with its aliases."""
        with self._mutex:
            for key in list(self.keys.values()):
                key.days_left -= days
                if key.state == "PendingDeletion" and key.days_left <= 0:
                    del self.keys[key.arn]
                    self.aliases = {alias: arn for alias, arn in self.aliases.items() if arn != key.arn}

    def answer(self, action: str, asked: Members) -> Members:
        """The answer to one call."""
        do: Callable[[Members], Members] | None = {
            "CreateKey": self._create_key,
            "CreateAlias": self._create_alias,
            "DescribeKey": self._describe_key,
            "ListResourceTags": self._list_resource_tags,
            "GenerateDataKey": self._generate_data_key,
            "Decrypt": self._decrypt,
            "DisableKey": self._disable_key,
            "ScheduleKeyDeletion": self._schedule_key_deletion,
        }.get(action)
        if do is None:
            raise KmsRefusal("UnknownOperationException")
        with self._mutex:
            self.calls.append(action)
            if self.throttled:
                self.throttled -= 1
                raise KmsRefusal("ThrottlingException")
            if action in self.denied:
                raise KmsRefusal("AccessDeniedException")
            if action in self.refused:
                raise KmsRefusal(self.refused[action])
        self.before.pop(action, lambda: None)()
        with self._mutex:
            return do(asked)

    def _create_key(self, asked: Members) -> Members:
        _require_members(asked, {"Description", "KeyUsage", "KeySpec", "Tags"})
        if (asked["KeyUsage"], asked["KeySpec"]) != ("ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"):
            raise KmsRefusal("UnsupportedOperationException")
        if "TagResource" in self.denied:
            raise KmsRefusal("AccessDeniedException")
        arn = f"arn:aws:kms:{self.region}:{ACCOUNT}:key/{uuid.uuid4()}"
        self.keys[arn] = KmsKey(arn, {tag["TagKey"]: tag["TagValue"] for tag in asked["Tags"]})
        return {"KeyMetadata": self._metadata(self.keys[arn])}

    def _create_alias(self, asked: Members) -> Members:
        _require_members(asked, {"AliasName", "TargetKeyId"})
        if not _ALIAS.fullmatch(asked["AliasName"]):
            raise KmsRefusal("InvalidAliasNameException")
        key = self._find(asked["TargetKeyId"])
        if asked["AliasName"] in self.aliases:
            raise KmsRefusal("AlreadyExistsException")
        key.require("Enabled", "Disabled")
        self.aliases[asked["AliasName"]] = key.arn
        return {}

    def _describe_key(self, asked: Members) -> Members:
        _require_members(asked, {"KeyId"})
        return {"KeyMetadata": self._metadata(self._find(asked["KeyId"]))}

    def _list_resource_tags(self, asked: Members) -> Members:
        _require_members(asked, {"KeyId"})
        tags = self._find(asked["KeyId"]).tags
        return {"Tags": [{"TagKey": name, "TagValue": value} for name, value in tags.items()], "Truncated": False}

    def _generate_data_key(self, asked: Members) -> Members:
        _require_members(asked, {"KeyId", "NumberOfBytes", "EncryptionContext"})
        key = self._find(asked["KeyId"])
        key.require("Enabled")
        plaintext = secrets.token_bytes(asked["NumberOfBytes"])
        blob = key.encrypt(plaintext, asked["EncryptionContext"])
        return {"KeyId": key.arn, "Plaintext": _format(plaintext), "CiphertextBlob": _format(blob)}

    def _decrypt(self, asked: Members) -> Members:
        _require_members(asked, {"CiphertextBlob", "KeyId", "EncryptionContext", "EncryptionAlgorithm"})
        blob = base64.b64decode(asked["CiphertextBlob"])
        name, rest = blob[1 : 1 + blob[0]].decode(errors="replace"), blob[1 + blob[0] :]
        key = self._find(asked["KeyId"])
        if name not in self.keys:
            raise KmsRefusal("InvalidCiphertextException")
        if name != key.arn:
            raise KmsRefusal("IncorrectKeyException")
        key.require("Enabled")
        try:
            plaintext = AESGCM(key.material).decrypt(rest[:12], rest[12:], _bind(asked["EncryptionContext"]))
        except (InvalidTag, ValueError) as error:
            raise KmsRefusal("InvalidCiphertextException") from error
        return {"KeyId": key.arn, "Plaintext": _format(plaintext), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}

    def _disable_key(self, asked: Members) -> Members:
        _require_members(asked, {"KeyId"})
        key = self._find_no_alias(asked["KeyId"])
        key.require("Enabled", "Disabled")
        key.state = "Disabled"
        return {}

    def _schedule_key_deletion(self, asked: Members) -> Members:
        _require_members(asked, {"KeyId", "PendingWindowInDays"})
        key = self._find_no_alias(asked["KeyId"])
        key.require("Enabled", "Disabled")
        if asked["PendingWindowInDays"] not in _WINDOW:
            raise KmsRefusal("ValidationException")
        key.state, key.days_left = "PendingDeletion", asked["PendingWindowInDays"]
        return {"KeyId": key.arn, "KeyState": key.state, "PendingWindowInDays": key.days_left}

    def _find(self, key_id: str) -> KmsKey:
        if not key_id.startswith(("arn:", "alias/")):
            raise KmsRefusal("InvalidArnException")
        key = self.keys.get(self.aliases.get(key_id, key_id))
        if key is None:
            raise KmsRefusal("NotFoundException")
        return key

    def _find_no_alias(self, key_id: str) -> KmsKey:
        # These take ids and ARNs of keys alone.
        if key_id.startswith("alias/"):
            raise KmsRefusal("InvalidArnException")
        return self._find(key_id)

    def _metadata(self, key: KmsKey) -> Members:
        return {
            "Arn": key.arn,
            "KeyId": key.arn.rpartition("/")[2],
            "KeyState": key.state,
            "Enabled": key.state == "Enabled",
            "KeyManager": "CUSTOMER",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "Origin": "AWS_KMS",
            "MultiRegion": False,
        }

    def check_signature(self, headers: dict[str, str]) -> None:
        """Refuse a request that nobody of this account signed; see the head of this file for what is not checked."""
        match = _SIGNATURE.fullmatch(headers.get("authorization", ""))
        if match is None or not set(match["headers"].split(";")) >= _SIGNED:
            raise KmsRefusal("MissingAuthenticationTokenException")
        if match["key"] != self.access_key_id:
            raise KmsRefusal("UnrecognizedClientException")
        if (match["region"], match["service"]) != (self.region, "kms"):
            raise KmsRefusal("InvalidSignatureException")
        signed_at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - signed_at) > timedelta(minutes=5) or not headers["x-amz-date"].startswith(
            match["day"]
        ):
            raise KmsRefusal("InvalidSignatureException")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account: KmsStandIn

    def do_POST(self) -> None:
        """One call."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        action = headers.get("x-amz-target", "").removeprefix("TrentService.")
        try:
            self.account.check_signature(headers)
            answer, status = self.account.answer(action, json.loads(body)), HTTPStatus.OK
        except KmsRefusal as refusal:
            answer, status = {"__type": refusal.code, "message": f"the stand-in says {refusal.code}"}, refusal.status
        if action in self.account.cut:
            self.account.cut.discard(action)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", _CONTENT_TYPE)
        self.send_header("content-length", str(len(data)))
        # A server that is taken away keeps no connection.
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(data)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _require_members(asked: Members, members: set[str]) -> None:
    """Refuse what this stand-in does not know, rather than pass over it."""
    if set(asked) != members:
        raise KmsRefusal("ValidationException")


def _bind(context: dict[str, str]) -> bytes:
    return json.dumps(context, sort_keys=True).encode()


def _format(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
