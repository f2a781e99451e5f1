"""One process that rotates record locks, as a worker of a job does: `python -m tests.benchmarks.rotating FILE TURN OF`.

FILE is the key service's settings; of all records with a lock, this worker takes every OF-th, in batches.
"""

import os
import sys
import time
from pathlib import Path

from sqlalchemy import select

from carnet_keyservice.lock_rotation import RecordState, RotationOrder
from carnet_keyservice.lock_rotation.wiring import open_rotator
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import load_deployment, load_secrets, require_master_keys
from carnet_keyservice.tables import record_locks
from carnet_server.database import make_engine, reader
from carnet_server.events.queries import find_newest
from carnet_server.settings import load_settings
from carnet_server.writer import Writer

BATCH = 10


def main(file: str, turn: str, of: str) -> None:
    """Wait for a line, rotate, and print how many capsules were swapped and in how many seconds."""
    settings = load_settings(
        KeyServiceSettings, file=Path(file), environment=os.environ, prefix="CARNET_KEYSERVICE_", arguments={}
    )
    engine = make_engine(settings.database)
    secrets, deployment = load_secrets(settings), load_deployment(settings)
    with Writer(engine) as writer, open_rotator(settings, deployment, engine, writer, secrets) as rotator:
        require_master_keys(engine, writer, secrets.master_keys)
        with reader(engine) as connection:
            records = sorted(connection.execute(select(record_locks.c.record).distinct()).scalars())
            order = RotationOrder(f"bench {turn}", find_newest(connection).index, by=None)
        own = records[int(turn) :: int(of)]
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        start, swapped, processor = time.perf_counter(), 0, time.process_time()
        for first in range(0, len(own), BATCH):
            for rotated in rotator.rotate(own[first : first + BATCH], order):
                if rotated.state is not RecordState.ROTATED or rotated.left:
                    raise AssertionError(f"internal: {rotated.state}")
                swapped += rotated.swapped
        seconds = time.perf_counter() - start
        processor = time.process_time() - processor
        sys.stdout.write(f"{swapped} {seconds} {processor}\n")
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
