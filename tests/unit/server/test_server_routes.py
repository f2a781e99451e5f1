"""Routes for the other server: nobody else is let in, whatever the tables say."""

from types import NoneType

import pytest
from sqlalchemy import Connection

from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import Ed25519PublicKey
from carnet_protocol.requests import KeyId
from carnet_server.principals import PrincipalKind, SigningKey, make_server_look_up
from carnet_server.routes import DEVICES, SERVERS, Router
from tests.support.tiny_server.world import ALICE, Caller

OTHER = Caller("other server", PrincipalKind.SERVER)


def nobody(connection: Connection, key_id: KeyId) -> SigningKey | None:
    """No key is in force."""
    del connection, key_id
    return None


def somebody(connection: Connection, key_id: KeyId) -> SigningKey:
    """Every key is an officer's."""
    del connection, key_id
    return SigningKey(ALICE.signer.public_key, PrincipalKind.OFFICER, None)


@pytest.mark.parametrize("look_up", [nobody, somebody])
def test_the_key_in_the_card_is_the_servers_whatever_the_tables_say(look_up: object) -> None:
    find = make_server_look_up(look_up, OTHER.signer.public_key)  # type: ignore[arg-type]  # either of the two above
    found = find(None, OTHER.key_id)  # type: ignore[arg-type]  # no database is asked
    assert found == SigningKey(Ed25519PublicKey(OTHER.signer.public_key.raw), PrincipalKind.SERVER, None)
    assert find(None, ALICE.key_id) == look_up(None, ALICE.key_id)  # type: ignore[arg-type, operator]  # as above


def test_a_server_has_no_identity() -> None:
    with pytest.raises(AssertionError, match="internal"):
        SigningKey(OTHER.signer.public_key, PrincipalKind.SERVER, ALICE.identity)


def test_a_route_for_the_other_server_is_for_nobody_else() -> None:
    with pytest.raises(AssertionError, match="internal"):
        Router().signed(
            "GET",
            "/v1/both",
            kinds=SERVERS | DEVICES,
            body=NoneType,
            body_limit_bytes=0,
            answer=NoneType,
            errors=(ErrorCode.REFUSED,),
        )
