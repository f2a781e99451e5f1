"""Jobs of rotation that begin as the command begins them, without looking on."""

from carnet_keyservice.rotation import accept
from carnet_keyservice.rotation.job import JobKind, JobParameters
from carnet_protocol.ids import JobId
from carnet_server.clock import system_clock
from carnet_server.database import make_engine
from carnet_server.deployment import Deployment, Moment
from carnet_server.writer import Writer
from tests.support.keyservice_process import KeyServiceProcess


def begin_job(process: KeyServiceProcess, kind: JobKind, *, grace: int) -> None:
    """Have a job of `kind` begin in the database of `process`, whether that runs or not."""
    own = process.own
    deployment = Deployment.of(own.card, own.card.body.keyservice, own.keyservice.log_key)
    parameters = JobParameters(rate=20_000, workers=2, grace_seconds=grace)
    engine = make_engine(process.database_url)
    try:
        with Writer(engine) as writer:
            writer.run(
                lambda _: system_clock(),
                lambda connection, now: accept.begin_job(
                    Moment(connection, now, deployment), JobId.make(), kind, parameters, by=None
                ),
            )
    finally:
        engine.dispose()
