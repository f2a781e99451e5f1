"""The statements of one request about one person, decided in order: each is signed rightly before it is judged.

    case = Case.open(moment, statements, recoveries=None)
    for signed in statements:
        if signed.hash not in case.accepted:
            fallen = case.decide(signed)

Nothing is written here. Before a signature was found good nothing is looked up but by the names that the statements
give, and one signature is checked whether the person is known or not: an outsider's refusal is the same for a person
who exists and for one who does not, and takes as long.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Self

from sqlalchemy import Connection

from carnet_protocol.ids import Ed25519PublicKey, IdentityHash, StatementHash
from carnet_protocol.statements import Device, Identity, Recovery, Removal, Signed
from carnet_server.deployment import Moment
from carnet_server.errors import BadRequestError, ConflictError, InvalidStatementError
from carnet_server.events.event import LoggedEvent
from carnet_server.people import decide, queries
from carnet_server.people.queries import PersonRow
from carnet_server.people.standing import Standing
from carnet_server.statements import AnyStatement, find_acceptances


@dataclass(frozen=True, slots=True)
class Recoveries:
    """What a server that takes recovery statements does with them; a server without one refuses them.

    `stands` says whether there is one for an identity statement, which has one at most; `decide` raises for one that is
    against the rules, at a time; `keep` keeps one as accepted by an event.
    """

    stands: Callable[[Connection, StatementHash], bool]
    decide: Callable[[Recovery, PersonRow, int], None]
    keep: Callable[[Connection, PersonRow, Signed[Recovery], LoggedEvent], None]


@dataclass(slots=True)
class Case:
    """Who the statements are about, which were accepted before, and what the request brought so far."""

    accepted: dict[StatementHash, LoggedEvent]
    _moment: Moment
    _identity: IdentityHash
    _recoveries: Recoveries | None
    _known: PersonRow | None
    _standing: Standing | None = None
    _root_keys: dict[StatementHash, Ed25519PublicKey] = field(default_factory=dict)
    _recovered: set[StatementHash] = field(default_factory=set)

    @classmethod
    def open(cls, moment: Moment, statements: Sequence[AnyStatement], recoveries: Recoveries | None) -> Self:
        """The case of `statements`. Raises `BadRequestError` if they are of several people."""
        identity = require_one_person(statements)
        return cls(
            accepted=find_acceptances(moment.connection, [signed.hash for signed in statements]),
            _moment=moment,
            _identity=identity,
            _recoveries=recoveries,
            _known=queries.find_person(moment.connection, identity),
        )

    @property
    def person(self) -> PersonRow:
        """The person as they are after what was decided. Raises `InvalidStatementError` if there is none."""
        person = self._known if self._standing is None else self._standing.person
        if person is None:
            raise InvalidStatementError("person_unknown")
        return person

    def decide(self, signed: AnyStatement) -> AbstractSet[StatementHash]:
        """Decide about a statement that was not accepted before; return the devices that fall by it.

        1. It is signed by the key that its kind asks for.
        2. It is within the rules of its kind, for the person as the statements before it left them.

        Raises `InvalidStatementError`, `ConflictError` or `TooLargeError`.
        """
        # 1
        self._verify(signed)
        # 2
        if self._standing is None:
            self._standing = Standing.load(self._moment.connection, self._identity)
        return self._judge(signed, self._standing)

    def _verify(self, signed: AnyStatement) -> None:
        signatures = self._moment.signatures
        try:
            key = self._find_signer(signed)
        except InvalidStatementError:
            # Some key or other, for the work's sake.
            signatures.prove(signed, [self._moment.deployment.log_key.public_key])
            raise
        signatures.verify(signed, key)

    def _find_signer(self, signed: AnyStatement) -> Ed25519PublicKey:
        """The one key that may have signed `signed`. Raises `InvalidStatementError` if there is none."""
        body = signed.body
        match body:
            case Identity() if body.previous is not None:
                return self._find_root_key(body.previous)
            case Identity():
                return body.root_key
            case Device() if body.enrolled_by is not None:
                return self._find_device_key(body.enrolled_by)
            case _:
                return self.person.root_key

    def _find_root_key(self, statement: StatementHash) -> Ed25519PublicKey:
        """The root key in an identity statement of this person; the newest one in the place of an unknown one.

        Who holds it is told by the rules that the statement does not follow.
        """
        newest = self.person
        if statement == newest.current:
            return newest.root_key
        known = self._root_keys.get(statement)
        return known or queries.find_root_key(self._moment.connection, self._identity, statement) or newest.root_key

    def _find_device_key(self, name: StatementHash) -> Ed25519PublicKey:
        if self._standing is None:
            device = queries.find_device(self._moment.connection, name)
        else:
            device = self._standing.devices.get(name)
        if device is None or device.identity != self._identity:
            raise InvalidStatementError("device_unknown")
        return device.device_key

    def _judge(self, signed: AnyStatement, standing: Standing) -> AbstractSet[StatementHash]:
        body, now = signed.body, self._moment.now
        match body:
            case Identity() if body.founding is None:
                self._moment.deployment.require_suite(body.suite)
                decide.decide_founding(signed, now=now)
                standing.found(signed)
            case Identity():
                self._moment.deployment.require_suite(body.suite)
                decide.decide_successor(signed, self.person, now=now)
                self._require_new_root(body)
                self._root_keys[self.person.current] = self.person.root_key
                return standing.renew(self.person, signed, since=void_since(signed, now=now))
            case Device():
                decide.decide_device(signed, self.person, standing, now=now)
                standing.enrol(self.person, signed, now=now)
            case Removal():
                decide.decide_removal(signed, standing, now=now)
                return standing.shut_out(body)
            case Recovery() if self._recoveries is not None:
                self._recoveries.decide(body, self.person, now)
                self._require_first_recovery(body.identity_statement, self._recoveries)
            case _:
                raise InvalidStatementError("statement_kind")
        return frozenset()

    def _require_new_root(self, body: Identity) -> None:
        """Refuse a root key that was replaced before, which would bring its devices back."""
        if body.root_key == self.person.root_key:
            return
        replaced = queries.load_root_keys(self._moment.connection, self._identity)
        if body.root_key in {*replaced, *self._root_keys.values()}:
            raise InvalidStatementError("root_key_came_back")

    def _require_first_recovery(self, name: StatementHash, recoveries: Recoveries) -> None:
        if name in self._recovered or recoveries.stands(self._moment.connection, name):
            raise ConflictError("recovery_stands")
        self._recovered.add(name)


def require_one_person(statements: Sequence[AnyStatement]) -> IdentityHash:
    """Whom all of `statements` are about. Raises `BadRequestError` if that is not one person."""
    subjects = {_subject(signed) for signed in statements}
    if len(subjects) != 1:
        raise BadRequestError("several_people")
    return subjects.pop()


def void_since(signed: AnyStatement, *, now: int) -> int:
    """From when on the devices that fall by `signed`, accepted `now`, are void.

    By a removal from the time that it says; by a new root key from the second after, for what they did in this one they
    did under the old one.
    """
    since: int = signed.body.since if isinstance(signed.body, Removal) else now + 1
    return since


def _subject(signed: AnyStatement) -> IdentityHash:
    """Whom the statement is about."""
    if isinstance(signed.body, Identity):
        return signed.body.founding or IdentityHash(signed.hash.raw)
    subject: IdentityHash = signed.body.identity
    return subject
