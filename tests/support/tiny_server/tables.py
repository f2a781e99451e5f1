"""Tables of the tiny server."""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, MetaData, Table

from carnet_protocol.ids import Ed25519PublicKey, IdentityHash, RandomId
from carnet_protocol.requests import KeyId
from carnet_server.database import INTEGER, TEXT, Identifier
from carnet_server.nonces import make_nonces_table

REVISIONS: Final = Path(__file__).parent / "migrations"

metadata: Final = MetaData()
nonces: Final = make_nonces_table(metadata)
keys: Final = Table(
    "keys",
    metadata,
    Column("key_id", Identifier(KeyId), primary_key=True),
    Column("public_key", Identifier(Ed25519PublicKey), nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("identity", Identifier(IdentityHash)),
    sqlite_strict=True,
)
notes: Final = Table(
    "notes",
    metadata,
    Column("note", Identifier(RandomId), primary_key=True),
    Column("author", Identifier(IdentityHash), nullable=False),
    Column("text", TEXT, nullable=False),
    Column("written_at", INTEGER, nullable=False),
    sqlite_strict=True,
)
events: Final = Table(
    "events",
    metadata,
    Column("position", INTEGER, primary_key=True, autoincrement=False),
    Column("note", Identifier(RandomId), nullable=False),
    Column("happened_at", INTEGER, nullable=False),
    sqlite_strict=True,
)
