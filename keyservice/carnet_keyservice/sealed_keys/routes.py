"""Sealed keys by themselves: a patient reads an own copy back, a practitioner seals those of all patients anew."""

from types import NoneType

from sqlalchemy import Connection

from carnet_keyservice.sealed_keys.queries import load_copies
from carnet_keyservice.sealed_keys.reseal import drop_older, keep_resealed, view_own
from carnet_protocol.api import OpenedKeys, ResealedKeys, SealedKeysPage, SealedKeysView, StandingKeys
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment
from carnet_server.grants.access import authorise_patient
from carnet_server.routes import DEVICES, Router


def make_sealed_keys_router(deployment: Deployment) -> Router:
    """The routes."""
    router = Router()

    @router.signed(
        "GET",
        "/v1/records/{record}/sealed-keys",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=SealedKeysView,
        errors=(ErrorCode.REFUSED,),
    )
    def read_sealed_keys(call: SignedCall[None], record: RecordId, statement: StatementHash) -> SealedKeysView:
        """The patient's own copies of the key of `statement`, published or not."""

        def load(connection: Connection, now: int) -> SealedKeysView:
            del now
            authorise_patient(connection, call.principal, record)
            return SealedKeysView(sealed_keys=load_copies(connection, record, statement, grant=None))

        return call.read(load)

    @router.signed(
        "GET",
        "/v1/inbox/sealed-keys",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=SealedKeysPage,
        errors=(),
    )
    def read_back(call: SignedCall[None], after: StatementHash | None = None) -> SealedKeysPage:
        """What is sealed to a practitioner's newest keys, of all patients: to be compared before older copies go."""
        return call.read(
            lambda connection, now: view_own(Moment(connection, now, deployment), call.principal, after=after)
        )

    @router.signed(
        "POST",
        "/v1/inbox/sealed-keys",
        kinds=DEVICES,
        body=ResealedKeys,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=StandingKeys,
        errors=(),
    )
    def reseal(call: SignedCall[ResealedKeys]) -> StandingKeys:
        """Keep what a practitioner sealed anew to their newest keys, beside what stood there."""

        def work(connection: Connection, now: int) -> StandingKeys:
            moment = Moment(connection, now, deployment)
            return StandingKeys(standing=keep_resealed(moment, call.principal, call.body.sealed_keys))

        return call.run(work)

    @router.signed(
        "POST",
        "/v1/inbox/sealed-keys/opened",
        kinds=DEVICES,
        body=OpenedKeys,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=StandingKeys,
        errors=(),
    )
    def settle(call: SignedCall[OpenedKeys]) -> StandingKeys:
        """Delete the copies for older keys where the reader has read back and opened the one for the newest."""

        def work(connection: Connection, now: int) -> StandingKeys:
            moment = Moment(connection, now, deployment)
            return StandingKeys(standing=drop_older(moment, call.principal, call.body.keys))

        return call.run(work)

    return router
