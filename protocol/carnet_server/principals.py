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
    SERVER = "server"
    """The other server of the deployment, by its key in the service card."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key in force, as the server's own tables have it, or the service card. People have an identity, others none."""

    public_key: Ed25519PublicKey
    kind: PrincipalKind
    identity: IdentityHash | None

    def __post_init__(self) -> None:
        if (self.identity is None) != (self.kind in {PrincipalKind.OFFICER, PrincipalKind.SERVER}):
            raise AssertionError("internal: officers and servers have no identity, and people have one")


KeyLookUp = Callable[[Connection, KeyId], SigningKey | None]
"""Gives the key that a request names if it is in force now, with one statement whether it exists or not."""


def make_server_look_up(look_up: KeyLookUp, public_key: Ed25519PublicKey) -> KeyLookUp:
    """As `look_up`, and the key of the other server, `public_key` in the service card, under its fingerprint.

    The card goes before what the tables have: nobody who is enrolled with that key is let in as somebody else.
    """
    name = public_key.fingerprint().raw
    server = SigningKey(Ed25519PublicKey(public_key.raw), PrincipalKind.SERVER, None)

    def find(connection: Connection, key_id: KeyId) -> SigningKey | None:
        found = look_up(connection, key_id)
        return server if key_id.raw == name else found

    return find


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed the request that is being answered."""

    key_id: KeyId
    kind: PrincipalKind
    identity: IdentityHash | None

    @property
    def person(self) -> IdentityHash:
        """The identity of a person's device or root key; routes for officers and servers do not ask."""
        if self.identity is None:
            raise AssertionError("internal: who is no person is asked for an identity")
        return self.identity
