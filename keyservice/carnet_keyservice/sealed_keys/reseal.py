"""A practitioner's keys for all patients, sealed anew, in the transaction of the request that brings them.

The order is that of every bulk job: the new copy is kept beside the old one; its reader reads it back and opens it;
only then, named by its digest, does it let the old one go. Each grant is decided by itself: one that ended bars no
other.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, TypeVar

from carnet_keyservice.sealed_keys import decide, queries
from carnet_protocol.api import OpenedKey, SealedKey, SealedKeysPage
from carnet_protocol.ids import Sha256Digest, StatementHash
from carnet_protocol.limits import MAX_SEALED_KEYS_PER_REQUEST
from carnet_protocol.statements import Permission
from carnet_server.compartments.queries import find_open
from carnet_server.deployment import Moment
from carnet_server.grants.queries import Holding, ask_holding, load_lasting_grants, read_holding
from carnet_server.people.queries import find_person
from carnet_server.prepared import run_together
from carnet_server.principals import Principal

_GRANTS_ON_PAGE: Final = 200
_Key = TypeVar("_Key", SealedKey, OpenedKey)


def keep_resealed(moment: Moment, principal: Principal, keys: Sequence[SealedKey]) -> tuple[bool, ...]:
    """Keep those of `keys` that may be kept; tell of each whether it stands.

    Raises `BadRequestError` for what is no sealed key.
    """
    for key in keys:
        decide.require_form(key)
    person = find_person(moment.connection, principal.person)
    standing: list[bool] = []
    for name, some in _by_grant(keys):
        holding = None if name is None or person is None else _find_holding(moment, principal, name)
        if holding is None or person is None:
            standing += [False] * len(some)
        else:
            standing += _keep(moment, principal, holding, some, current=person.current)
    return tuple(standing)


def view_own(moment: Moment, principal: Principal, *, after: StatementHash | None) -> SealedKeysPage:
    """A page of the copies for the newest keys of `principal`, of grants that have not ended, by grant hash."""
    connection = moment.connection
    person = find_person(connection, principal.person)
    found = load_lasting_grants(
        connection,
        principal.person,
        after=after,
        pinned=moment.deployment.pinned,
        now=moment.now,
        limit=_GRANTS_ON_PAGE + 1,
    )
    keys: list[SealedKey] = []
    last = None
    for name, _, _ in found[:_GRANTS_ON_PAGE]:
        if len(keys) > MAX_SEALED_KEYS_PER_REQUEST:
            break
        last = name
        keys += [
            SealedKey.model_construct(
                compartment_statement=statement, grant=name, reader_statement=reader, sealed=sealed
            )
            for (statement, reader), sealed in sorted(queries.load_under(connection, name).items())
            if person is not None and reader == person.current
        ]
    is_whole = last is None or last == found[-1][0]
    return SealedKeysPage.model_construct(sealed_keys=tuple(keys), next=None if is_whole else str(last))


def drop_older(moment: Moment, principal: Principal, opened: Sequence[OpenedKey]) -> tuple[bool, ...]:
    """Delete the copies for older keys beside those of `opened` that stand as they were read; tell which do."""
    person = find_person(moment.connection, principal.person)
    standing: list[bool] = []
    for name, some in _by_grant(opened):
        holding = None if name is None or person is None else _find_holding(moment, principal, name)
        if holding is None or person is None:
            standing += [False] * len(some)
            continue
        copies = queries.load_under(moment.connection, holding.grant.hash)
        for key in some:
            own = copies.get((key.compartment_statement, person.current))
            stands = own is not None and Sha256Digest.of(own) == key.digest
            others = {reader for statement, reader in copies if statement == key.compartment_statement}
            if stands and others != {person.current}:
                queries.delete_other_readers(
                    moment.connection, key.compartment_statement, grant=key.grant, reader_statement=person.current
                )
            standing.append(stands)
    return tuple(standing)


def _keep(
    moment: Moment, principal: Principal, holding: Holding, keys: Sequence[SealedKey], *, current: StatementHash
) -> list[bool]:
    """Keep those of `keys`, all of one grant, that its holder may bring; none where the record has no room."""
    connection, grant = moment.connection, holding.grant
    copies = queries.load_under(connection, grant.hash)
    epochs = find_open(connection, grant.record, grant.compartments)
    sealed_before = {statement for statement, _ in copies}
    may_keep = [decide.may_reseal(key, current=current, epochs=epochs, sealed_before=sealed_before) for key in keys]
    wanted = {(key.compartment_statement, current): key for key, may in zip(keys, may_keep, strict=True) if may}
    new = [key for place, key in wanted.items() if place not in copies]
    if new and not decide.has_room(queries.count_sealed(connection, grant.record), len(new)):
        return [False] * len(keys)
    device = StatementHash(principal.key_id.raw)
    queries.insert_all(connection, grant.record, new, device=device, now=moment.now)
    for place, key in wanted.items():
        if place in copies and copies[place] != key.sealed:
            queries.replace_sealed(connection, key, device=device, now=moment.now)
    return may_keep


def _find_holding(moment: Moment, principal: Principal, name: StatementHash) -> Holding | None:
    """The read grant `name` with what makes `principal` its reader; None if it is over or another's."""
    asked = ask_holding(name, principal=principal.person, pinned=moment.deployment.pinned, now=moment.now)
    (rows,) = run_together(moment.connection, asked)
    holding = read_holding(rows)
    if holding is None or not holding.is_attested or holding.grant.is_over(moment.now):
        return None
    if holding.grant.permission is not Permission.READ:
        return None
    return holding if holding.grant.grantee == principal.person or holding.is_successor else None


def _by_grant(keys: Iterable[_Key]) -> Iterable[tuple[StatementHash | None, list[_Key]]]:
    """`keys` in their order, those that follow each other under one grant together."""
    return ((name, list(some)) for name, some in groupby(keys, key=lambda key: key.grant))
