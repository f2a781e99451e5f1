"""Encrypting every document of a record anew, as the last word of a revocation (DESIGN section 8).

complete_revocation(session, grant, reencrypt=reencrypt_record)
"""

from collections.abc import Sequence

from carnet.access import RecordAccess
from carnet.documents.listing import Document, Problem, list_all_versions
from carnet.documents.reseal import Sharing, reseal_version
from carnet.errors import DataError, RefusedError
from carnet.progress import OnStep, Progress, Step
from carnet.session import Session


def reencrypt_record(session: Session, access: RecordAccess, on_step: OnStep) -> tuple[Problem, ...]:
    """Encrypt every version of every document of the patient's record anew; return what does not open, or is gone.

    One that does not open stops no other: whoever deposited it could have made it so. Raises a `TransportError`, or
    what reading the record and its grants raises.
    """
    listing = list_all_versions(session, access)
    return _reencrypt(session, access, listing.documents, listing.problems, on_step)


def reencrypt_older(session: Session, access: RecordAccess, on_step: OnStep) -> tuple[Problem, ...]:
    """As `reencrypt_record`, the versions alone whose digests are of a suite before the write suite."""
    listing = list_all_versions(session, access)
    older = [one for one in listing.documents if one.version.content_suites.digest < session.write_suite]
    return _reencrypt(session, access, older, listing.problems, on_step)


def _reencrypt(
    session: Session,
    access: RecordAccess,
    versions: Sequence[Document],
    found: Sequence[Problem],
    on_step: OnStep,
) -> tuple[Problem, ...]:
    problems = list(found)
    sharing = Sharing.load(session, access)
    for place, version in enumerate(versions):
        on_step(Progress(Step.REENCRYPT, place, len(versions)))
        try:
            reseal_version(session, access, version.id, version=version.version.number, sharing=sharing)
        except (DataError, RefusedError) as error:
            problems.append(Problem(str(version.id), str(error)))
    on_step(Progress(Step.REENCRYPT, len(versions), len(versions)))
    return tuple(problems)
