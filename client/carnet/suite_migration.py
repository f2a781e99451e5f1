"""Moving to the write suite of the service card, after the deployment raised it (DESIGN section 8: suite migration).

    report, dropped = migrate(session, recovery_secret, on_step=show)

The jobs are those of every renewal, in their order: a new account key, a new record lock, new epochs, every capsule
remade, documents encrypted anew, old epochs closed, old locks retired. Each step writes the write suite and leaves
everything open that was open before, so that the floor can follow once nobody has anything below it. Where the floor
came first, this alone still reads below it, and only to make anew what it read.
"""

from carnet.documents.reencryption import reencrypt_older
from carnet.identity import fetch_own, renew_account_key
from carnet.keys import RecoverySecret
from carnet.progress import OnStep, ignore_progress
from carnet.records import open_record
from carnet.revocation import CompletionReport, begin_renewal, complete
from carnet.session import Session
from carnet.slots import Slot
from carnet_protocol.statements import Role


def migrate(
    session: Session, recovery_secret: RecoverySecret, *, on_step: OnStep = ignore_progress
) -> tuple[CompletionReport | None, tuple[Slot, ...]]:
    """Bring this person's keys, and a patient's record, to the write suite; cut anywhere, run it again.

    1. The epochs of a suite before it, and the record lock, are noted as to be left behind.
    2. The account key is renewed, if it is of a suite before it.
    3. The renewal is completed; documents whose digests are of a suite before it are encrypted anew.

    What others still hold under an older suite, readers of single documents above all, they renew themselves. Returns
    what `revocation.renew_own_keys` returns and raises what that raises; a practitioner is attested anew next.
    """
    with session.lifting():
        is_patient = session.keyring.body.role is Role.PATIENT
        # 1
        if is_patient:
            compartments = open_record(session, ()).compartments.values()
            begin_renewal(session, [one.id for one in compartments if one.newest.body.suite < session.write_suite])
        # 2
        dropped: tuple[Slot, ...] = ()
        if fetch_own(session).current.body.suite < session.write_suite:
            dropped = renew_account_key(session, recovery_secret)
        # 3
        return complete(session, on_step=on_step, reencrypt=reencrypt_older) if is_patient else None, dropped
