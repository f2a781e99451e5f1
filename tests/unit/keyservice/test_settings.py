"""What the key service is told of who keeps its master keys."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import make_providers
from carnet_server.errors import SettingsError
from carnet_server.key_files import SERVER_KEY
from tests.support.people import Dice

TOKEN = {"pkcs11_module": "/usr/lib/module.so", "pkcs11_token": "carnet"}
KMS = {"aws_kms_region": "eu-west-3"}


def make_settings(data_dir: Path = Path("data"), **more: str) -> KeyServiceSettings:
    given = {"data_dir": str(data_dir), "service_card": "card", "origin": "https://keys.example"}
    return KeyServiceSettings.model_validate(given | more)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder with the key that says which key service this is."""
    (tmp_path / "keys").mkdir()
    path = tmp_path / "keys" / SERVER_KEY
    path.touch(mode=0o600)
    path.write_bytes(Dice("key service").signer().seed())
    return tmp_path


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"master_key_provider": "pkcs11"}, "wants pkcs11_module and pkcs11_token"),
        ({"pkcs11_module": "/usr/lib/module.so"}, "come together"),
        ({"pkcs11_token": "carnet"}, "come together"),
        (TOKEN | {"pkcs11_module": "module.so"}, "absolute path"),
        (TOKEN | {"pkcs11_token": "x" * 33}, "pkcs11_token"),
        ({"master_key_provider": "aws-kms"}, "wants aws_kms_region"),
        ({"aws_kms_endpoint_url": "https://kms.example"}, "wants aws_kms_region"),
        (KMS | {"aws_kms_endpoint_url": "http://kms.example"}, "aws_kms_endpoint_url"),
        ({"aws_kms_region": "eu-west-3.evil.example/"}, "aws_kms_region"),
        ({"aws_kms_region": "eu-west-3\n"}, "aws_kms_region"),
        ({"master_key_provider": "vault"}, "master_key_provider"),
        ({"pkcs11_pin": "4711"}, "pkcs11_pin"),
        ({"aws_secret_access_key": "x"}, "aws_secret_access_key"),
    ],
)
def test_what_is_not_whole_is_refused(more: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_settings(**more)


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ["file"]),
        (TOKEN, ["file", "pkcs11"]),
        (KMS, ["file", "aws-kms"]),
        (TOKEN | KMS | {"master_key_provider": "aws-kms"}, ["file", "pkcs11", "aws-kms"]),
    ],
    ids=["file", "token", "kms", "all"],
)
def test_all_that_are_set_up_give_their_keys_and_none_is_asked_yet(
    data_dir: Path, more: dict[str, str], names: list[str]
) -> None:
    settings = make_settings(data_dir, **more)
    assert [provider.name for provider in make_providers(settings)] == names


def test_the_pin_lies_among_the_keys_unless_told_otherwise() -> None:
    assert make_settings(**TOKEN).pin_file == Path("data/keys/pkcs11.pin")
    assert make_settings(**TOKEN, pkcs11_pin_file="/run/pin").pin_file == Path("/run/pin")


def test_a_provider_of_a_key_service_without_its_own_key_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"server\.key"):
        make_providers(make_settings(tmp_path, **KMS))
