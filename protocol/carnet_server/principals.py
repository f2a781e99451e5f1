"""Who signs requests, and how a server looks their keys up."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique

from sqlalchemy import Connection

from carnet_protocol.ids import Ed25519PublicKey, IdentityHash
from carnet_protocol.requests import KeyId


@unique
class PrincipalKind(StrEnum):
    """What a key is to its owner."""

    DEVICE = "device"
    ROOT = "root"
    OFFICER = "officer"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key in force, as the server's own tables have it. Officers have no identity; everyone else has one."""

    public_key: Ed25519PublicKey
    kind: PrincipalKind
    identity: IdentityHash | None

    def __post_init__(self) -> None:
        if (self.identity is None) != (self.kind is PrincipalKind.OFFICER):
            raise AssertionError("internal: officers have no identity, and people have one")


KeyLookUp = Callable[[Connection, KeyId], SigningKey | None]
"""Gives the key that a request names if it is in force now, with one statement whether it exists or not."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed the request that is being answered."""

    key_id: KeyId
    kind: PrincipalKind
    identity: IdentityHash | None

    @property
    def person(self) -> IdentityHash:
        """The identity of a person's device or root key; routes for officers do not ask."""
        if self.identity is None:
            raise AssertionError("internal: an officer is asked for an identity")
        return self.identity
