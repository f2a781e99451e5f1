"""The cursor of a page of old capsules: record, lock statement and place of the last one on it."""

import re
from dataclasses import dataclass
from typing import Final

from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import RecordId, StatementHash
from carnet_server.errors import BadRequestError
from carnet_vault.capsules.decide import Place
from carnet_vault.cursors import format_place, parse_place

_HASH: Final = r"([A-Za-z0-9_-]{43})"
_CURSOR: Final = re.compile(rf"{_HASH}\.{_HASH}\.(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """After this capsule a page begins. The personal capsules under a lock come after those of compartments."""

    record: RecordId
    lock: StatementHash
    place: Place

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The cursor that `text` spells. Raises `BadRequestError`."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadRequestError("cursor")
        try:
            return cls(RecordId.parse(match[1]), StatementHash.parse(match[2]), parse_place(match[3]))
        except ProtocolError as error:
            raise BadRequestError("cursor") from error

    def __str__(self) -> str:
        return f"{self.record}.{self.lock}.{format_place(self.place)}"
