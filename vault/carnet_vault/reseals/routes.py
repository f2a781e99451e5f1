"""`POST /v1/records/{record}/reseals`: the patient commits versions encrypted anew."""

from sqlalchemy import Connection

from carnet_protocol.api import DepositReceipts, ResealDeposits
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.events import LoggedEvent
from carnet_server.grants.access import authorise_patient
from carnet_server.routes import DEVICES, Router
from carnet_storage import Store
from carnet_vault.reseals.accept import accept_reseals, judge_reseals
from carnet_vault.reseals.candidate import check_reseal
from carnet_vault.reseals.decide import Replacement, ResealVerdict
from carnet_vault.uploads.finish import finish_uploads


def make_reseals_router(deployment: Deployment, store: Store) -> Router:
    """The route."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/reseals",
        kinds=DEVICES,
        body=ResealDeposits,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=DepositReceipts,
        errors=(
            ErrorCode.REFUSED,
            ErrorCode.INVALID_STATEMENT,
            ErrorCode.CONFLICT,
            ErrorCode.STALE,
        ),
    )
    def reseal_versions(call: SignedCall[ResealDeposits], record: RecordId) -> DepositReceipts:
        """Commit versions encrypted anew, all or none. The same statements again are answered as before."""
        call.read(lambda connection, _: authorise_patient(connection, call.principal, record))
        keyservice = deployment.card.body.keyservice.fingerprint()
        candidates = [check_reseal(deposit, record=record, keyservice=keyservice) for deposit in call.body.deposits]
        signatures = Signatures()

        def judge(connection: Connection, now: int) -> tuple[ResealVerdict, ...]:
            return judge_reseals(Moment(connection, now, deployment, signatures), call.principal, record, candidates)

        def accept(connection: Connection, now: int) -> list[LoggedEvent]:
            return accept_reseals(Moment(connection, now, deployment, signatures), call.principal, record, candidates)

        finish_uploads(store, [verdict.upload for verdict in call.read(judge) if isinstance(verdict, Replacement)])
        return DepositReceipts(receipts=deployment.accepted(call.run(accept)).receipts)

    return router
