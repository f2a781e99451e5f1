"""Master keys wrapped by AWS KMS: for each version a KMS key of its own, which never leaves KMS.

The KMS key of version N is a symmetric one, named `alias/carnet-KEYSERVICE-master-N` with the key service's
fingerprint, and tagged with both. The master key is a *data key* of 32 bytes, which KMS makes and gives in the clear
and encrypted, bound to an *encryption context* of fingerprint and version; serving, the key service has it in its
memory. What the database keeps opens nothing without the KMS key:

    token = "KMS" || 1 (1) || u16 length of the KMS key's ARN || ARN || ciphertext blob of KMS

An alias is there once in an account and region: of two processes that make version N at once, the second takes the
first one's KMS key and has its own deleted. A run that was cut off before it set the alias leaves a KMS key that
nothing was encrypted under.

`destroy` disables the KMS key at once and schedules its deletion after the shortest time that KMS knows, seven days.
Until then an administrator of the account can take both back; after that nobody can.

Whoever may call KMS is found as boto3 does it (environment, profile, role of the machine), never in our settings.
Calls are bounded: four tries, five seconds to connect and ten for an answer. boto3's clients may be used by several
threads at once. botocore writes answers, keys and all, into its debug log; that line is never written here.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from typing_extensions import override

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys.provider import MadeKey, MasterKeyProvider
from carnet_keyservice.sealing import MASTER_KEY_SIZE, Secret
from carnet_protocol.ids import Fingerprint

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

AWS_KMS: Final = "aws-kms"
DELETION_DAYS: Final = 7

_MAGIC: Final = b"KMS\x01"
_MAX_TOKEN_SIZE: Final = 4096
_KEY_SERVICE: Final = "carnet-key-service"
_VERSION: Final = "carnet-master-key"
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 10
_TRIES: Final = 4
_GOING: Final = frozenset({"PendingDeletion", "PendingReplicaDeletion"})
_WHAT_TO_DO: Final = {
    "AccessDeniedException": "AWS KMS denies it; give this program's role the actions that keyservice/README.md lists",
    "DisabledException": "its KMS key is disabled; enable it",
    "KMSInvalidStateException": "its KMS key is not usable now; see its state in AWS KMS, and cancel a deletion "
    "that was not meant",
    "NotFoundException": "its KMS key is not there; see whether account and region are the right ones",
    "InvalidCiphertextException": "what the database keeps of it was changed, or is another version's or key "
    "service's; restore the database",
    "IncorrectKeyException": "what the database keeps of it names another KMS key; restore the database",
    "InvalidArnException": "what the database keeps of it names no KMS key; restore the database",
    "LimitExceededException": "the account has no room for another KMS key or request; raise its quota",
    "ThrottlingException": "AWS KMS has too many requests from this account; do this again later",
    "UnrecognizedClientException": "AWS does not know the credentials; see what boto3 finds in this place",
    "InvalidSignatureException": "AWS does not take the credentials; see what boto3 finds in this place, and the clock",
    "ExpiredTokenException": "the AWS credentials have expired; renew them",
}
"""By the code of an error of KMS, what an operator mends."""


class AwsKmsProvider(MasterKeyProvider):
    """Has KMS in `region`, or behind `endpoint_url`, wrap the master keys of `key_service`."""

    name = AWS_KMS
    afterwards = (
        f"its KMS key is disabled, and AWS deletes it {DELETION_DAYS} days from now: until then an administrator of "
        "the account can cancel that and load the key again, after that nobody can"
    )

    def __init__(self, *, region: str, endpoint_url: str | None, key_service: Fingerprint) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._key_service = str(key_service)
        self._mutex = threading.Lock()
        self._made_client: KMSClient | None = None

    @override
    def make(self, version: int) -> MadeKey:
        """A fresh key under the KMS key of `version`, which is made where the account has none."""
        with _failures(version):
            arn = self._find_fit(version) or self._make_kms_key(version)
            context = self._context(version)
            made = self._client().generate_data_key(KeyId=arn, NumberOfBytes=MASTER_KEY_SIZE, EncryptionContext=context)
        key = Secret(made["Plaintext"])
        token = _format_token(arn, made["CiphertextBlob"])
        # Who may make keys and not decrypt would learn it at the next start.
        if len(token) > _MAX_TOKEN_SIZE or not self.load(version, token).is_same_as(key):
            raise MasterKeyError(f"AWS KMS does not give master key {version} back as it made it; do not use it")
        return MadeKey(key, token)

    @override
    def load(self, version: int, token: bytes) -> Secret:
        """What KMS decrypts."""
        arn, blob = _parse_token(token, version)
        with _failures(version):
            answer = self._client().decrypt(
                CiphertextBlob=blob,
                KeyId=arn,
                EncryptionContext=self._context(version),
                EncryptionAlgorithm="SYMMETRIC_DEFAULT",
            )
        if len(answer["Plaintext"]) != MASTER_KEY_SIZE:
            raise MasterKeyError(f"what the database keeps of master key {version} is of another size; restore it")
        return Secret(answer["Plaintext"])

    @override
    def destroy(self, version: int, token: bytes) -> None:
        """Disable the KMS key that `token` names, and the one with the alias of `version`, and have them deleted.

        One whose tags do not say that it is this version's is not touched.
        """
        arns = [_parse_token(token, version)[0]] if token else []
        with _failures(version):
            for key_id in (*arns, self._alias(version)):
                found = self._describe(key_id)
                if found is None or found[1] in _GOING:
                    continue
                self._require_ours(found[0], version)
                self._delete(found[0])

    def _find_fit(self, version: int) -> str | None:
        """The ARN of the KMS key that a run made which was cut off before the database knew of it, if any."""
        found = self._describe(self._alias(version))
        if found is None:
            return None
        arn, state = found
        self._require_ours(arn, version)
        if state != "Enabled":
            raise MasterKeyError(
                f"the KMS key of master key {version} is {state}; enable it, cancelling its deletion first, or leave "
                "this version and make the next"
            )
        return arn

    def _make_kms_key(self, version: int) -> str:
        client = self._client()
        made = client.create_key(
            Description=f"Carnet: wraps master key {version} of key service {self._key_service}",
            KeyUsage="ENCRYPT_DECRYPT",
            KeySpec="SYMMETRIC_DEFAULT",
            Tags=[{"TagKey": name, "TagValue": value} for name, value in self._context(version).items()],
        )
        arn = made["KeyMetadata"]["Arn"]
        try:
            client.create_alias(AliasName=self._alias(version), TargetKeyId=arn)
        except client.exceptions.AlreadyExistsException:
            # Another process came first; or our own first try did, and its answer was lost.
            first = self._find_fit(version)
            if first is None:
                raise MasterKeyError(
                    f"the alias of master key {version} was there and is gone; do this again"
                ) from None
            if first != arn:
                client.schedule_key_deletion(KeyId=arn, PendingWindowInDays=DELETION_DAYS)
            return first
        return arn

    def _delete(self, arn: str) -> None:
        client = self._client()
        try:
            client.disable_key(KeyId=arn)
            client.schedule_key_deletion(KeyId=arn, PendingWindowInDays=DELETION_DAYS)
        except client.exceptions.KMSInvalidStateException:
            # Another process did it; or our own first try did, and its answer was lost.
            found = self._describe(arn)
            if found is not None and found[1] not in _GOING:
                raise

    def _describe(self, key_id: str) -> tuple[str, str] | None:
        """ARN and state of the KMS key called `key_id`."""
        client = self._client()
        try:
            answer = client.describe_key(KeyId=key_id)["KeyMetadata"]
        except client.exceptions.NotFoundException:
            return None
        return answer["Arn"], answer["KeyState"]

    def _require_ours(self, arn: str, version: int) -> None:
        answer = self._client().list_resource_tags(KeyId=arn)
        tags = {tag["TagKey"]: tag["TagValue"] for tag in answer["Tags"]}
        if not self._context(version).items() <= tags.items():
            raise MasterKeyError(
                f"the KMS key that is named for master key {version} is not tagged as its own; see what it is, and "
                "leave it or tag it"
            )

    def _alias(self, version: int) -> str:
        return f"alias/carnet-{self._key_service}-master-{version}"

    def _context(self, version: int) -> dict[str, str]:
        return {_KEY_SERVICE: self._key_service, _VERSION: str(version)}

    def _client(self) -> "KMSClient":
        with self._mutex:
            if self._made_client is None:
                self._made_client = _make_client(self._region, self._endpoint_url)
            return self._made_client


def _make_client(region: str, endpoint_url: str | None) -> "KMSClient":
    _silence_answers()
    return boto3.session.Session().client(
        "kms",
        region_name=region,
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _TRIES},
        ),
    )


def _silence_answers() -> None:
    """Let botocore log no bodies of answers: the one of a data key holds it."""
    logging.getLogger("botocore.parsers").addFilter(_is_no_body)


def _is_no_body(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


@contextlib.contextmanager
def _failures(version: int) -> Iterator[None]:
    """Turn errors of boto3 into `MasterKeyError`s that name the version and what to do, and quote nothing."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        what = _WHAT_TO_DO.get(code, "AWS KMS fails; do this again, and see its state if that does not help")
        raise MasterKeyError(f"master key {version}: {what}") from error
    except BotoCoreError as error:
        raise MasterKeyError(
            f"master key {version}: AWS KMS cannot be asked ({type(error).__name__}); see the network, aws_kms_region, "
            "aws_kms_endpoint_url, and the credentials that boto3 finds"
        ) from error


def _format_token(arn: str, blob: bytes) -> bytes:
    name = arn.encode("ascii")
    return _MAGIC + len(name).to_bytes(2, "big") + name + blob


def _parse_token(token: bytes, version: int) -> tuple[str, bytes]:
    """ARN and ciphertext blob. Raises `MasterKeyError`."""
    start = len(_MAGIC) + 2
    name_end = start + int.from_bytes(token[len(_MAGIC) : start], "big")
    name, blob = token[start:name_end], token[name_end:]
    if not token.startswith(_MAGIC) or len(token) > _MAX_TOKEN_SIZE or not name.isascii() or not blob:
        raise MasterKeyError(f"what the database keeps of master key {version} is not of AWS KMS; restore it")
    return name.decode("ascii"), blob
