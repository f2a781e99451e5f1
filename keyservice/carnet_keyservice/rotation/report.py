"""What a job did, as a statement that the key service signs and an auditor keeps (spec `statements.md`)."""

from sqlalchemy import Connection

from carnet_keyservice.locks.queries import count_under
from carnet_keyservice.rotation.job import WALKED, Job, JobState
from carnet_keyservice.rotation.queries import count_progress, count_skips
from carnet_keyservice.rotation.workshop import Workshop
from carnet_protocol.statements import Count, RotationReport, Signed


def sign_report(connection: Connection, shop: Workshop, job: Job, outcome: JobState) -> str:
    """The report of `job`, which comes to its end now, as a compact JWS."""
    steps = [(phase, count_progress(connection, job.id, phase)) for phase in sorted(WALKED)]
    references = 0 if job.old is None else count_under(connection, job.old)
    body = RotationReport(
        keyservice=shop.deployment.fingerprint,
        job=job.id,
        rotates=job.kind.value,
        outcome="finished" if outcome is JobState.FINISHED else "aborted",
        by=job.by,
        begun_at=job.begun_at,
        ended_at=shop.clock(),
        old_version=job.old,
        new_version=job.new,
        total=job.total,
        done=tuple(Count(name=phase.value, count=step.done) for phase, step in steps if step.done),
        skipped=tuple(Count(name=reason, count=count) for reason, count in count_skips(connection, job.id).items()),
        old_references=references,
    )
    return Signed.sign(body, shop.server_key).text
