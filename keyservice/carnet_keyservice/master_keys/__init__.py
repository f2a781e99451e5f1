"""Master keys: what seals record locks at rest, and who holds them (spec `keys.md`, "The key service at rest")."""

from carnet_keyservice.master_keys.files import FileProvider, make_master_key_file
from carnet_keyservice.master_keys.provider import MadeKey, MasterKeyProvider
from carnet_keyservice.master_keys.ring import MasterKeys

__all__ = ["FileProvider", "MadeKey", "MasterKeyProvider", "MasterKeys", "make_master_key_file"]
