"""Master keys: what seals record locks at rest, and who holds them (spec `keys.md`, "The key service at rest")."""

from carnet_keyservice.master_keys.files import FileMasterKeys, make_master_key_file
from carnet_keyservice.master_keys.provider import MasterKeyProvider

__all__ = ["FileMasterKeys", "MasterKeyProvider", "make_master_key_file"]
