"""A person as one request finds them, changed in memory by what it brings, statement after statement.

Rules read this and nothing else, so that a request is decided in the same way twice: on a snapshot, where a refusal
costs the writer nothing, and in the transaction that keeps what was not refused.
"""

from dataclasses import dataclass, replace
from typing import Self

from sqlalchemy import Connection

from carnet_protocol.ids import IdentityHash, StatementHash
from carnet_protocol.statements import Device, Identity, Removal, Signed
from carnet_server.people.queries import DeviceRow, PersonRow, count_removals, find_person, load_devices


@dataclass(slots=True)
class Standing:
    """A person, if the server knows them, with every device, shut out or not, and the number of removals."""

    person: PersonRow | None
    devices: dict[StatementHash, DeviceRow]
    known_removals: int

    @classmethod
    def load(cls, connection: Connection, identity: IdentityHash) -> Self:
        """How the person `identity` stands now."""
        return cls(
            person=find_person(connection, identity),
            devices=load_devices(connection, identity),
            known_removals=count_removals(connection, identity),
        )

    def found(self, signed: Signed[Identity]) -> None:
        """Begin with the founding statement `signed`."""
        body = signed.body
        self.person = PersonRow(IdentityHash(signed.hash.raw), body.role, signed.hash, body.serial, body.root_key)

    def renew(self, person: PersonRow, signed: Signed[Identity], *, since: int) -> set[StatementHash]:
        """Take the later statement `signed` of `person` as the newest one.

        Where it replaces the root key, every device so far is void from `since`; returns those that fall now.
        """
        body = signed.body
        self.person = replace(person, current=signed.hash, serial=body.serial, root_key=body.root_key)
        if body.root_key == person.root_key:
            return set()
        fallen = {
            device.hash for device in self.devices.values() if device.void_from is None or device.void_from > since
        }
        for name in fallen:
            self.devices[name] = replace(self.devices[name], void_from=since)
        return fallen

    def enrol(self, person: PersonRow, signed: Signed[Device], *, now: int) -> None:
        """Add the device `signed`."""
        body = signed.body
        self.devices[signed.hash] = DeviceRow(
            hash=signed.hash,
            identity=person.identity,
            role=person.role,
            device_key=body.device_key,
            enrolled_by=body.enrolled_by,
            received_at=now,
            void_from=None,
        )

    def shut_out(self, removal: Removal) -> set[StatementHash]:
        """Make the device of `removal` void, with what it enrolled since, and so on; return those that fall now.

        One that was void from an earlier time stays so, and so does what it took along.
        """
        self.known_removals += 1
        since, fallen, falling = removal.since, set[StatementHash](), [removal.device]
        enrolled: dict[StatementHash | None, list[StatementHash]] = {}
        for device in self.devices.values():
            if device.received_at >= since:
                enrolled.setdefault(device.enrolled_by, []).append(device.hash)
        while falling:
            device = self.devices[falling.pop()]
            if device.void_from is not None and device.void_from <= since:
                continue
            fallen.add(device.hash)
            self.devices[device.hash] = replace(device, void_from=since)
            falling += enrolled.get(device.hash, [])
        return fallen
