"""The memory that adding and getting take, in a process of their own: `resident_service.py add|get HOME SOURCE`.

Prints the bytes by which the resident size rose, at its highest, above that after the SDK was imported and the keyring
unlocked: what Argon2id takes is taken once and given back.
"""

import sys
from pathlib import Path

from carnet.access import open_access
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.documents.spool import deposit_large
from carnet.session import open_session
from tests.benchmarks.deployment import PASSPHRASE, new_version
from tests.benchmarks.resident import resident


def main(work: str, home: str, source: str) -> int:
    """Returns the rise in bytes while doing `work`."""
    with open_session(Path(home), passphrase=PASSPHRASE) as session:
        access = open_access(session, session.record)
        Path("/proc/self/clear_refs").write_text("5")  # the highest size counts from here
        before = resident("VmRSS")
        if work == "add":
            deposit_large(session, access, new_version(Path(source), access, 99))
        else:
            largest = max(list_documents(session, access).documents, key=lambda document: document.metadata.size)
            target = Path(source).with_suffix(".got")
            open_document(session, access, largest.id).save(target)
            target.unlink()
        return resident("VmHWM") - before


if __name__ == "__main__":
    sys.stdout.write(f"{main(*sys.argv[1:])}\n")
