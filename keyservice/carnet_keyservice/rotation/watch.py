"""Keeps the ring of this process as the database says: new versions are loaded, destroyed ones forgotten.

One thread per process. It looks once a second, which costs two questions; it writes what it loaded, or could not, for
the flip waits for every process that runs, and now and then that it runs.
"""

import threading
from typing import Final

from sqlalchemy import Connection

from carnet_keyservice.errors import KeyServiceError, MasterKeyError
from carnet_keyservice.ids import ProcessId
from carnet_keyservice.master_keys.queries import MasterKeyRow, load_master_keys
from carnet_keyservice.master_keys.state import OPENING
from carnet_keyservice.rotation import processes
from carnet_keyservice.rotation.destruction import confirm_destruction, require_ordered
from carnet_keyservice.rotation.queries import find_unfinished
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.errors import ProtocolError
from carnet_server.errors import RefusalError

LOOK_SECONDS: Final = 1.0
LOADING: Final = "its provider is asked for it"


class Watch:
    """Use as a context manager, for as long as the process serves or works."""

    def __init__(self, shop: Workshop, program: str) -> None:
        self._shop = shop
        self._program = program
        self._process = ProcessId.make()
        self._noted: dict[int, str | None] = {}
        self._dropped: set[int] = set()
        self._seen_at = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="carnet-watch", daemon=True)

    def start(self) -> None:
        """Note that the process runs, and begin to look."""
        self._enter()
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End, and note that the process runs no more."""
        self._stop.set()
        self._thread.join()
        try:
            self._shop.write(lambda connection: processes.leave(connection, self._process))
        except RefusalError as error:
            self._shop.log.warning("process_not_left", reason=error.reason)

    def look(self) -> None:
        """Bring the ring up to date, once."""
        rows, is_busy = self._shop.read(_look)
        self._show(is_busy=is_busy)
        for row in rows:
            if row.state in OPENING:
                self._load(row)
            else:
                self._drop(row)

    def _show(self, *, is_busy: bool) -> None:
        now = self._shop.clock()
        often = processes.SEEN_SECONDS if is_busy else processes.IDLE_SEEN_SECONDS
        if now - self._seen_at >= often:
            if not self._shop.write(lambda connection: processes.show(connection, self._process, now=now)):
                self._enter()
            self._seen_at = now

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            with self._shop.living_on("watch_failed"):
                self.look()

    def _enter(self) -> None:
        now = self._shop.clock()
        self._shop.write(lambda connection: processes.enter(connection, self._process, self._program, now=now))
        self._noted.clear()
        self._seen_at = now

    def _load(self, row: MasterKeyRow) -> None:
        problem: str | None = None
        if row.version not in self._shop.ring.versions() and row.version not in self._noted:
            self._note(row.version, LOADING)  # a provider may take a minute, in which nothing else is said
        try:
            self._shop.ring.load(row)
        except MasterKeyError as error:
            problem = str(error)
        self._note(row.version, problem)

    def _drop(self, row: MasterKeyRow) -> None:
        """Forget a key that is to be destroyed, and have its provider do so: each process where each has a copy."""
        if row.version in self._dropped:
            return
        problem: str | None = None
        try:
            self._shop.survey(lambda connection: require_ordered(connection, self._shop.deployment, row.version))
            self._shop.ring.forget(row.version)
            self._shop.ring.provider(row.provider).destroy(row.version, row.token)
        except (KeyServiceError, ProtocolError) as error:
            problem = str(error)
        if problem is None and row.check_value:
            self._shop.decide(lambda moment: confirm_destruction(moment, row.version))
        if problem is None:
            self._dropped.add(row.version)
        self._note(row.version, problem)

    def _note(self, version: int, problem: str | None) -> None:
        if version in self._noted and self._noted[version] == problem:
            return
        if problem not in {None, LOADING}:
            self._shop.log.warning("master_key_not_here", reason=problem, version=version)
        self._shop.write(lambda connection: processes.note_key(connection, self._process, version, problem=problem))
        self._noted[version] = problem


def _look(connection: Connection) -> tuple[list[MasterKeyRow], bool]:
    return load_master_keys(connection), find_unfinished(connection) is not None
