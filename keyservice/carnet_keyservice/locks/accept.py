"""Making, issuing and retiring locks, in one transaction with the event that says so."""

from dataclasses import dataclass, replace

from carnet_keyservice.locks import decide, queries
from carnet_keyservice.locks.queries import RecordLock, SealedLock
from carnet_keyservice.master_keys.queries import find_sealing_versions
from carnet_protocol.ids import Fingerprint, IdentityHash, RecordId, StatementHash
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Lock, Signed
from carnet_server.deployment import Moment
from carnet_server.erasures import require_standing
from carnet_server.errors import ConflictError, RefusedError
from carnet_server.events import LoggedEvent, NewEvent, find_event
from carnet_server.people.queries import find_person
from carnet_server.principals import Principal
from carnet_server.records.decide import require_patient
from carnet_server.statements import store_statement


@dataclass(frozen=True, slots=True)
class LockMaker:
    """Who makes or retires a lock: a device of the patient, or a job of an officer's, or of the machine's (None)."""

    by: IdentityHash | Fingerprint | None
    device: StatementHash | None = None
    job: str | None = None

    @classmethod
    def of(cls, principal: Principal) -> "LockMaker":
        """The patient, by the device that signed."""
        return cls(principal.identity, StatementHash(principal.key_id.raw))

    def detail(self, version: int) -> dict[str, str | int]:
        """What an event says besides."""
        return {"version": version} if self.job is None else {"version": version, "job": self.job}


def make_lock(moment: Moment, maker: LockMaker, sealed: SealedLock, server_key: Signer) -> str:
    """Put `sealed` in use as the next version of its record's lock; return its statement.

    Raises `ConflictError` if another request made that version meanwhile, or another master key came into use,
    or `RefusedError` for a record that was erased.
    """
    connection, lock = moment.connection, sealed.lock
    require_standing(connection, lock.record)
    require_patient(find_person(connection, lock.record.patient()))
    if decide.decide_next_version(queries.find_newest_lock(connection, lock.record)) != lock.version:
        raise ConflictError("lock_not_next")
    sealing = find_sealing_versions(connection)
    # A seal under a key that is not in use is kept by nobody: it would hold up the destruction of that key.
    sealed = replace(sealed, seals=tuple(seal for seal in sealed.seals if seal.master_key_version in sealing))
    if sealing != {seal.master_key_version for seal in sealed.seals}:
        raise ConflictError("master_key_changed_meanwhile")
    signed = _sign(moment, lock, server_key)
    event = moment.log(
        NewEvent(
            "lock.made",
            record=lock.record,
            by=maker.by,
            device=maker.device,
            statement=signed.hash,
            detail=maker.detail(lock.version),
        )
    )
    queries.insert_lock(connection, sealed, made=event.index)
    return _store(moment, signed, event)


def reissue_statement(moment: Moment, record: RecordId, server_key: Signer) -> str:
    """A statement of the newest lock that is good for longer than a week: the last one, or a new one.

    Raises `RefusedError` where the record has no lock.
    """
    lock = queries.find_newest_lock(moment.connection, record)
    last = queries.find_newest_statement(moment.connection, record)
    if lock is None or last is None:
        raise RefusedError("lock_unknown")
    if decide.is_fresh(last, now=moment.now):
        return last.jws
    signed = _sign(moment, lock.lock, server_key)
    event = moment.log(
        NewEvent("statement.lock", record=record, statement=signed.hash, detail={"version": lock.lock.version})
    )
    return _store(moment, signed, event)


def retire_lock(moment: Moment, maker: LockMaker, record: RecordId, version: int) -> LoggedEvent:
    """Release nothing under the lock `version` from this transaction on. Once more is answered as before."""
    connection = moment.connection
    lock = decide.decide_retirement(
        queries.find_lock(connection, record, version), newest=queries.find_newest_lock(connection, record)
    )
    if lock.retired is not None:
        return find_event(connection, lock.retired)
    event = moment.log(
        NewEvent(
            "lock.retired",
            record=record,
            by=maker.by,
            device=maker.device,
            detail=maker.detail(version),
        )
    )
    queries.retire_lock(connection, record, version, event=event.index)
    return event


def _sign(moment: Moment, lock: RecordLock, server_key: Signer) -> Signed[Lock]:
    last = queries.find_newest_statement(moment.connection, lock.record)
    body = Lock(
        record=lock.record,
        version=lock.version,
        suite=lock.suite,
        lock_key=lock.lock_key,
        previous=None if last is None else last.hash,
        keyservice=moment.deployment.fingerprint,
        issued_at=moment.now,
        expires=moment.now + decide.STATEMENT_SECONDS,
    )
    return Signed.sign(body, server_key)


def _store(moment: Moment, signed: Signed[Lock], event: LoggedEvent) -> str:
    store_statement(moment.connection, signed, event=event, now=moment.now)
    queries.insert_lock_statement(moment.connection, signed, event=event.index)
    return signed.text
