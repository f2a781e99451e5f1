"""Routes of deposits: versions come in, and their authors see what they brought."""

from types import NoneType
from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection

from carnet_protocol.api import DepositReceipts, Deposits, OwnDepositsPage
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import RecordId, StatementHash
from carnet_protocol.limits import MAX_BODY_BYTES, MAX_PAGE
from carnet_protocol.statements import Permission
from carnet_server.calls import SignedCall
from carnet_server.deployment import Deployment, Moment, Signatures
from carnet_server.events import LoggedEvent
from carnet_server.grants.access import authorise
from carnet_server.routes import DEVICES, Router
from carnet_storage import Store
from carnet_vault.cursors import format_version, parse_version
from carnet_vault.deposits.accept import accept_deposits, judge_deposits
from carnet_vault.deposits.candidate import check_candidate
from carnet_vault.deposits.decide import Placement, Verdict
from carnet_vault.deposits.queries import load_own
from carnet_vault.uploads.finish import finish_uploads


def make_deposits_router(deployment: Deployment, store: Store) -> Router:
    """`POST /v1/records/{record}/documents` and `GET /v1/records/{record}/deposits`."""
    router = Router()

    @router.signed(
        "POST",
        "/v1/records/{record}/documents",
        kinds=DEVICES,
        body=Deposits,
        body_limit_bytes=MAX_BODY_BYTES,
        answer=DepositReceipts,
        errors=(
            ErrorCode.REFUSED,
            ErrorCode.INVALID_STATEMENT,
            ErrorCode.CONFLICT,
            ErrorCode.STALE,
        ),
    )
    def deposit_documents(call: SignedCall[Deposits], record: RecordId) -> DepositReceipts:
        """Commit versions, all or none. The same manifests again are answered as before."""
        keyservice = deployment.card.body.keyservice.fingerprint()
        candidates = [
            check_candidate(deposit, record=record, author=call.principal.person, keyservice=keyservice)
            for deposit in call.body.deposits
        ]
        signatures = Signatures()

        def judge(connection: Connection, now: int) -> tuple[Verdict, ...]:
            return judge_deposits(Moment(connection, now, deployment, signatures), call.principal, record, candidates)

        def accept(connection: Connection, now: int) -> list[LoggedEvent]:
            return accept_deposits(Moment(connection, now, deployment, signatures), call.principal, record, candidates)

        finish_uploads(store, [verdict.upload for verdict in call.read(judge) if isinstance(verdict, Placement)])
        return DepositReceipts(receipts=deployment.accepted(call.run(accept)).receipts)

    @router.signed(
        "GET",
        "/v1/records/{record}/deposits",
        kinds=DEVICES,
        body=NoneType,
        body_limit_bytes=0,
        answer=OwnDepositsPage,
        errors=(ErrorCode.REFUSED,),
    )
    def read_own_deposits(
        call: SignedCall[None],
        record: RecordId,
        grant: StatementHash | None = None,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    ) -> OwnDepositsPage:
        """The principal's own manifests, whatever became of them."""
        start = None if after is None else parse_version(after)

        def load(connection: Connection, now: int) -> OwnDepositsPage:
            access = authorise(
                connection,
                call.principal,
                record,
                grant,
                permission=Permission.DEPOSIT,
                pinned=deployment.pinned,
                now=now,
            )
            rows = load_own(connection, record, access.principal, after=start, limit=limit + 1)
            last = rows[limit - 1] if len(rows) > limit else None
            return OwnDepositsPage.model_construct(
                manifests=tuple(row.jws for row in rows[:limit]),
                next=None if last is None else format_version(last.document, last.version),
            )

        return call.read(load)

    return router
