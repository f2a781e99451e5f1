"""`carnet-vault fsck`: what the vault keeps is whole. It reads and reports; it mends nothing (`carnet_server.fsck`)."""

from carnet_vault.fsck.database import check_database
from carnet_vault.fsck.objects import Litter, Seen, check_contents, check_objects, content_bytes

__all__ = ["Litter", "Seen", "check_contents", "check_database", "check_objects", "content_bytes"]
