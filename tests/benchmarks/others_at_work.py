"""People at work in a record while its locks are remade: `others_at_work.py READER PATIENT GRANT`.

The reader lists and opens under GRANT, another client of the patient deposits, until standard input ends. Says `ready`
after one turn, and at the end how many turns there were. Whatever goes wrong for one of them ends this with its error.
"""

import sys
import tempfile
import threading
from pathlib import Path
from unittest.mock import patch

from carnet import slots
from carnet.access import open_access
from carnet.documents.deposit import deposit_small
from carnet.documents.listing import list_documents
from carnet.documents.reading import open_document
from carnet.session import open_session
from carnet_protocol.ids import StatementHash
from tests.benchmarks.deployment import PASSPHRASE, new_version, stretch_quickly


def main(reader_home: str, patient_home: str, grant: str) -> int:
    """Returns 0 if all went well."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    turns = 0
    with (
        patch.object(slots, "stretch_passphrase", stretch_quickly),
        open_session(Path(reader_home), passphrase=PASSPHRASE) as reader,
        open_session(Path(patient_home), passphrase=PASSPHRASE) as patient,
        tempfile.TemporaryDirectory() as folder,
    ):
        record, source = patient.record, Path(folder) / "note"
        source.write_bytes(b"a note that came meanwhile")
        while not over.is_set():
            access = open_access(patient, record)
            deposit_small(patient, access, [new_version(source, access, turns)])
            theirs = open_access(reader, record, StatementHash.parse(grant))
            listing = list_documents(reader, theirs)
            if listing.problems or not listing.documents:
                sys.stderr.write(f"{listing.problems[:3]} of {len(listing.documents)}\n")
                return 1
            for document in listing.documents[:: len(listing.documents) // 4]:
                open_document(reader, theirs, document.id).check()
            turns += 1
            if turns == 1:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
    sys.stdout.write(f"listed {turns} times, opened and deposited between\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
