"""Copies of what servers hold, as a thief or a backup has them, and questions by who should not ask."""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from carnet.errors import RefusedError
from carnet.session import Session
from carnet_protocol.api import Capsule, ReleaseAnswer, ReleaseItem, ReleaseKind, ReleaseRequest
from carnet_protocol.api.capsules import CompartmentRecipient, PersonalRecipient
from carnet_protocol.ids import CompartmentId, DocumentId, IdentityHash, RecordId, StatementHash
from carnet_protocol.tuples import KeyRole
from tests.support.client import ClientWorld
from tests.support.sealed import read_tables
from tests.support.story import Story


def copy_servers(world: ClientWorld, folder: Path) -> Path:
    """A copy of both databases and of every object, in the new `folder`."""
    folder.mkdir()
    for name in ("vault.sqlite", "keyservice.sqlite"):
        with closing(sqlite3.connect(world.root / name)) as source, closing(sqlite3.connect(folder / name)) as target:
            source.backup(target)
    shutil.copytree(world.root / "objects", folder / "objects")
    return folder


def items_in_vault(root: Path, record: RecordId) -> Iterator[ReleaseItem]:
    """What somebody who has the whole vault in `root` can ask the key service to release of `record`."""
    tables = read_tables(root / "vault.sqlite")
    authors = {(row["record"], row["document"]): row["author"] for row in tables["documents"]}
    suites = {(row["record"], row["document"], row["version"]): row["suite"] for row in tables["versions"]}
    for row in [*tables["capsules"], *tables["personal_capsules"]]:
        if row["record"] != record.raw:
            continue
        place = (row["record"], row["document"])
        is_personal = "grant" in row
        yield ReleaseItem(
            suite=suites[*place, row["version"]],
            author=IdentityHash(authors[place]),
            capsule=Capsule(
                document=DocumentId(row["document"]),
                version=row["version"],
                role=KeyRole(row["role"]),
                compartment=None
                if is_personal
                else CompartmentRecipient(
                    compartment=CompartmentId(row["compartment"]),
                    compartment_statement=StatementHash(row["compartment_statement"]),
                ),
                personal=PersonalRecipient(
                    grant=StatementHash(row["grant"]),
                    grantee=IdentityHash(row["grantee"]),
                    grantee_statement=StatementHash(row["grantee_statement"]),
                )
                if is_personal
                else None,
                lock_statement=StatementHash(row["lock_statement"]),
                inner_suite=row["inner_suite"],
                outer_suite=row["outer_suite"],
                sealed=row["sealed"],
            ),
        )


def ask_release(
    session: Session,
    record: RecordId,
    items: Iterable[ReleaseItem],
    *,
    grant: StatementHash | None,
    kind: ReleaseKind = ReleaseKind.OPEN,
) -> dict[tuple[DocumentId, int, KeyRole], bytes]:
    """What the key service releases of `items` to `session`: inner locks by document, version and role."""
    asked = tuple(items)
    request = ReleaseRequest(grant=grant, kind=kind, items=asked)
    try:
        answer = session.keyservice.post(f"/v1/records/{record}/releases", request, ReleaseAnswer)
    except RefusedError:
        return {}
    return {
        (item.capsule.document, item.capsule.version, item.capsule.role): inner
        for item, inner in zip(asked, answer.inner, strict=True)
        if inner is not None
    }


def keys_kept(story: Story, session: Session) -> list[bytes]:
    """Every key that a clinician ever received and could keep."""
    access = story.access(session)
    kept = [held.account_key.reveal() for held in session.keyring.body.account_keys]
    return kept + [key.seed() for compartment in access.compartments.values() for key in compartment.keys.values()]
