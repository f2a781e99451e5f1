"""What the vault needs before it is wired: its place in the deployment, and its store."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, select

from carnet_protocol.signing import Signer
from carnet_server.database import reader
from carnet_server.deployment import Deployment
from carnet_server.errors import SettingsError
from carnet_server.key_files import SERVER_KEY, load_secret_file, load_service_card, load_signer, make_secret_file
from carnet_storage import FilesystemStore, StorageError, Store, TransferUrls, UrlSecret, create_filesystem_store
from carnet_storage.urls import MIN_SECRET_BYTES
from carnet_vault.settings import VaultSettings
from carnet_vault.tables import objects, uploads

URL_KEY: Final = "url.key"
"""File of the secret under which the vault signs transfer URLs; made at the first start."""


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A filesystem store, and the URLs that the vault serves for it."""

    store: FilesystemStore
    urls: TransferUrls


def load_deployment(settings: VaultSettings) -> Deployment:
    """The deployment that the service card describes, if this vault is the one in it. Raises `SettingsError`."""
    card = load_service_card(settings.service_card)
    if card.body.vault.origin != settings.origin:
        raise SettingsError("origin is not the vault's in the service card; correct the one that is wrong")
    return Deployment.load(card, card.body.vault, settings.keys_dir)


def load_server_key(settings: VaultSettings) -> Signer:
    """The key that signs what the key service is answered; `load_deployment` has found it in the service card.

    Raises `SettingsError`.
    """
    return load_signer(settings.keys_dir / SERVER_KEY)


def create_store(settings: VaultSettings, engine: Engine) -> None:
    """Lay out the filesystem store where none is, unless the migrated database knows of uploads or objects.

    Those are in a store already, whose disk may just not be mounted: a second one in its place would take what comes
    and lose it at the next start. Raises `SettingsError`, or a refusal of the database.
    """
    if settings.store != "filesystem":
        return
    with reader(engine) as connection:
        if any(connection.execute(select(table).limit(1)).first() for table in (objects, uploads)):
            return
    try:
        create_filesystem_store(settings.objects_root)
    except StorageError as error:
        raise SettingsError(str(error)) from error


def open_store(settings: VaultSettings) -> LocalStore | Store:
    """The store of the vault, which `create_store` made or S3 has. Raises `SettingsError`."""
    try:
        return _open_s3(settings) if settings.store == "s3" else _open_local(settings)
    except StorageError as error:
        raise SettingsError(str(error)) from error


def _open_local(settings: VaultSettings) -> LocalStore:
    key = settings.keys_dir / URL_KEY
    if not key.exists():
        make_secret_file(key, size_bytes=MIN_SECRET_BYTES)
    secret = UrlSecret(load_secret_file(key, size_bytes=MIN_SECRET_BYTES))
    urls = TransferUrls(settings.origin, secret)
    return LocalStore(FilesystemStore(settings.objects_root, urls), urls)


def _open_s3(settings: VaultSettings) -> Store:
    # Only a deployment that has a bucket loads boto3.
    from carnet_storage.s3 import S3Store, make_s3_client  # noqa: PLC0415

    client = make_s3_client(
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id.get_secret_value(),
        secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
    return S3Store(client, bucket=settings.s3_bucket)
