"""Those who go on reading: practitioners to whom keys may be sealed now, and why others are left out.

Under a grant whose grantee handed over, the successor goes on reading, while a registrar attests that; the patient is
told, and may end the grant.
"""

from dataclasses import dataclass

from carnet.errors import ChangedKeysError, DataError, RefusedError
from carnet.people import Practitioner
from carnet.session import Session
from carnet.succession import fetch_reader
from carnet_protocol.authority import Person
from carnet_protocol.ids import IdentityHash
from carnet_protocol.statements import Grant, Signed


@dataclass(frozen=True, slots=True)
class SkippedReader:
    """A grant that goes on without the new key, and why: its reader sees nothing new until let in again."""

    grant: Signed[Grant]
    reason: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A grant under which somebody else reads now than its grantee, who handed over to them."""

    grant: Signed[Grant]
    successor: Practitioner


class Readers:
    """Verified readers of one job, each looked up once.

    `skipped` are the grants whose reader cannot be relied on, `succeeded` those whose grantee handed over.
    """

    __slots__ = ("_found", "_session", "_skipped", "_succeeded")

    def __init__(self, session: Session) -> None:
        """Nobody was looked up yet."""
        self._session = session
        self._found: dict[IdentityHash, Practitioner | str] = {}
        self._skipped: dict[Signed[Grant], SkippedReader] = {}
        self._succeeded: dict[Signed[Grant], Succeeded] = {}

    def find(self, grant: Signed[Grant]) -> Person | None:
        """Who reads under `grant`, attested now and with accepted keys; else None, and `skipped` says why.

        Raises a `TransportError`.
        """
        grantee = grant.body.grantee
        if grantee not in self._found:
            self._found[grantee] = self._look_up(grantee)
        found = self._found[grantee]
        if isinstance(found, str):
            self._skipped[grant] = SkippedReader(grant, found)
            return None
        if found.person.identity != grantee:
            self._succeeded[grant] = Succeeded(grant, found)
        return found.person

    @property
    def skipped(self) -> tuple[SkippedReader, ...]:
        """The grants that were left out."""
        return tuple(self._skipped.values())

    @property
    def succeeded(self) -> tuple[Succeeded, ...]:
        """The grants whose grantee handed over, and to whom."""
        return tuple(self._succeeded.values())

    def _look_up(self, grantee: IdentityHash) -> Practitioner | str:
        try:
            practitioner = fetch_reader(self._session, grantee)
            self._session.people.check_accepted(practitioner)
            self._session.require_suite(practitioner.person.current.body.suite, "this reader's keys")
        except (DataError, ChangedKeysError, RefusedError) as error:
            return str(error)
        return practitioner
