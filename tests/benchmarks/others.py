"""The same work done by programs of others: read a file, encrypt it, write it.

Each in the way that is fastest for it: no compression, no cache, large frames, no signature.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.benchmarks.race import Contestant
from tests.benchmarks.row import NotMeasuredError

AWS_FRAME_BYTES = 1 << 20


def age(plain: Path, folder: Path) -> Contestant:
    """`age` with a recipient's X25519 key."""
    keygen, program = find_program("age-keygen", "age"), find_program("age", "age")
    identity = subprocess.run([keygen], check=True, capture_output=True, text=True).stdout
    (recipient,) = (line.split()[-1] for line in identity.splitlines() if line.startswith("# public key:"))
    result = folder / "age.out"
    return Contestant(plain, result, run=command([program, "-r", recipient, "-o", str(result), str(plain)]))


def restic(plain: Path, folder: Path) -> Contestant:
    """`restic backup` into a new repository."""
    program = find_program("restic", "restic")
    result = folder / "restic.repository"
    environment = os.environ | {"RESTIC_PASSWORD": secrets.token_hex(16), "RESTIC_REPOSITORY": str(result)}
    return Contestant(
        plain,
        result,
        run=command([program, "backup", "--quiet", "--no-cache", "--compression", "off", str(plain)], environment),
        prepare=command([program, "init", "--quiet"], environment),
        rounds=2,
    )


def rclone(plain: Path, folder: Path) -> Contestant:
    """`rclone copyto` to a crypt remote in a local folder."""
    program = find_program("rclone", "rclone")
    result = folder / "rclone.folder"
    password = subprocess.run(
        [program, "obscure", secrets.token_hex(16)], check=True, capture_output=True, text=True
    ).stdout.strip()
    environment = os.environ | {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_SEALED_TYPE": "crypt",
        "RCLONE_CONFIG_SEALED_REMOTE": str(result),
        "RCLONE_CONFIG_SEALED_PASSWORD": password,
    }
    return Contestant(
        plain,
        result,
        run=command([program, "copyto", "--log-level", "ERROR", str(plain), "sealed:out"], environment),
        prepare=result.mkdir,
        rounds=2,
    )


def aws_encryption_sdk(plain: Path, folder: Path) -> Contestant:
    """The AWS Encryption SDK under a raw AES key, with key commitment as it recommends."""
    if find_spec("aws_encryption_sdk") is None:
        raise NotMeasuredError("the AWS Encryption SDK is missing: pip install aws-encryption-sdk")
    result = folder / "aws.out"
    return Contestant(plain, result, run=lambda: _seal_with_aws(plain, result), rounds=2)


def _seal_with_aws(plain: Path, result: Path) -> None:
    # By name, because it may be missing, and has no types
    sdk = import_module("aws_encryption_sdk")
    identifiers = import_module("aws_encryption_sdk.identifiers")
    wrapping = import_module("aws_encryption_sdk.internal.crypto.wrapping_keys")
    raw = import_module("aws_encryption_sdk.key_providers.raw")

    class RawKey(raw.RawMasterKeyProvider):  # type: ignore[name-defined, misc]  # no types
        provider_id = "benchmark"

        def _get_raw_key(self, _key_id: str) -> object:
            return wrapping.WrappingKey(
                wrapping_algorithm=identifiers.WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
                wrapping_key=secrets.token_bytes(32),
                wrapping_key_type=identifiers.EncryptionKeyType.SYMMETRIC,
            )

    provider = RawKey()
    provider.add_master_key(b"key")
    client = sdk.EncryptionSDKClient(commitment_policy=sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    with (
        plain.open("rb") as source,
        result.open("wb") as target,
        client.stream(
            mode="e",
            source=source,
            key_provider=provider,
            source_length=plain.stat().st_size,
            frame_length=AWS_FRAME_BYTES,
            algorithm=identifiers.AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
        ) as sealing,
    ):
        while piece := sealing.read(AWS_FRAME_BYTES):
            target.write(piece)


def find_program(name: str, package: str) -> str:
    """Returns where a program is. Raises `NotMeasuredError` if it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise NotMeasuredError(f"{name} is missing: sudo apt-get install {package}")
    return path


def command(arguments: list[str], environment: dict[str, str] | None = None) -> Callable[[], object]:
    """Returns a call that runs a program, which must succeed."""
    return lambda: subprocess.run(arguments, check=True, env=environment, stdout=subprocess.DEVNULL)
