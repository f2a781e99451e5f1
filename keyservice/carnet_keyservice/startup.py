"""What the key service needs before it is wired: its place in the deployment, and its private keys."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine

from carnet_keyservice.errors import MasterKeyError
from carnet_keyservice.master_keys import FileProvider, MasterKeyProvider, MasterKeys
from carnet_keyservice.master_keys.files import FILES
from carnet_keyservice.master_keys.queries import (
    MasterKeyRow,
    find_master_key,
    insert_master_key,
    load_master_keys,
)
from carnet_keyservice.master_keys.ring import make_check_value
from carnet_keyservice.master_keys.state import OPENING, KeyState
from carnet_keyservice.settings import KeyServiceSettings
from carnet_protocol.ids import Fingerprint
from carnet_protocol.signing import Signer
from carnet_server.clock import system_clock
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_server.errors import SettingsError
from carnet_server.key_files import SERVER_KEY, load_service_card, load_signer
from carnet_server.writer import Writer


@dataclass(frozen=True, slots=True)
class Secrets:
    """The key that signs lock statements, and the master keys."""

    server_key: Signer
    master_keys: MasterKeys


def load_deployment(settings: KeyServiceSettings) -> Deployment:
    """The deployment that the service card describes, if this key service is the one in it. Raises `SettingsError`."""
    card = load_service_card(settings.service_card)
    if card.body.keyservice.origin != settings.origin:
        raise SettingsError("origin is not the key service's in the service card; correct the one that is wrong")
    return Deployment.load(card, card.body.keyservice, settings.keys_dir)


def load_secrets(settings: KeyServiceSettings) -> Secrets:
    """The private keys. Raises `SettingsError` or `MasterKeyError`."""
    return Secrets(load_signer(settings.keys_dir / SERVER_KEY), MasterKeys(make_providers(settings)))


def make_providers(settings: KeyServiceSettings) -> list[MasterKeyProvider]:
    """Whoever may keep master keys, as the settings say; files always may.

    None is asked anything yet. Raises `SettingsError`.
    """
    providers: list[MasterKeyProvider] = [FileProvider(settings.keys_dir)]
    if settings.pkcs11_module is not None:
        providers.append(_make_pkcs11(settings, settings.pkcs11_module))
    if settings.aws_kms_region:
        providers.append(_make_aws_kms(settings))
    return providers


def _make_pkcs11(settings: KeyServiceSettings, module: Path) -> MasterKeyProvider:
    try:
        # Its library is an extra, and only who has a token needs it.
        from carnet_keyservice.master_keys.pkcs11 import Pkcs11Provider  # noqa: PLC0415  as said above
        from carnet_keyservice.master_keys.pkcs11_token import Pkcs11Token  # noqa: PLC0415  as said above
    except ModuleNotFoundError as error:
        raise SettingsError("pkcs11_module wants a library that is not here: install carnet[pkcs11]") from error
    token = Pkcs11Token(module=module, label=settings.pkcs11_token, pin_file=settings.pin_file)
    return Pkcs11Provider(token, _load_fingerprint(settings))


def _make_aws_kms(settings: KeyServiceSettings) -> MasterKeyProvider:
    # boto3 takes a while to import, and only who uses KMS needs it here.
    from carnet_keyservice.master_keys.aws_kms import AwsKmsProvider  # noqa: PLC0415  as said above

    return AwsKmsProvider(
        region=settings.aws_kms_region,
        endpoint_url=settings.aws_kms_endpoint_url,
        key_service=_load_fingerprint(settings),
    )


def _load_fingerprint(settings: KeyServiceSettings) -> Fingerprint:
    return load_signer(settings.keys_dir / SERVER_KEY).public_key.fingerprint()


def require_master_keys(engine: Engine, writer: Writer, ring: MasterKeys, *, provider: str = FILES) -> None:
    """Have every master key in memory; at the very first start, have `provider` make one.

    Raises `MasterKeyError` where the active key, or one under which new locks are sealed, is missing or wrong. Any
    other may be away: what was sealed under it alone does not open, and `fsck` says so.
    """
    ring.find_in(partial(_find_row, engine))
    with reader(engine) as connection:
        rows = load_master_keys(connection)
    if not rows:
        made = ring.provider(provider).make(1)
        first = MasterKeyRow(
            version=1,
            provider=provider,
            token=made.token,
            check_value=make_check_value(made.key, 1),
            state=KeyState.ACTIVE,
            is_sealing=True,
            made_at=system_clock(),
            changed_at=system_clock(),
        )
        rows = writer.run(lambda _: system_clock(), lambda connection, _: _begin(connection, first))
    for row in rows:
        try:
            if row.state in OPENING:
                ring.load(row)
        except MasterKeyError:
            if row.is_sealing:
                raise


def _begin(connection: Connection, first: MasterKeyRow) -> list[MasterKeyRow]:
    # Another process may have come first.
    if not load_master_keys(connection):
        insert_master_key(connection, first)
    return load_master_keys(connection)


def _find_row(engine: Engine, version: int) -> MasterKeyRow | None:
    with reader(engine) as connection:
        return find_master_key(connection, version)
