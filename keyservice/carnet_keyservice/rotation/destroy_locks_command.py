"""`carnet-keyservice keys destroy-locks`: the end of record locks that were retired long enough ago."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from carnet_keyservice.errors import RotationError
from carnet_keyservice.rotation.desk import (
    DEFAULT_WORKERS,
    AsJson,
    OpenDesk,
    SettingsFile,
    Workers,
    follow_job,
    resume_and_follow,
)
from carnet_keyservice.rotation.destruction import begin_lock_destruction
from carnet_keyservice.rotation.job import MAX_RATE, JobKind, JobParameters, JobState, Pace
from carnet_keyservice.rotation.lock_destruction import count_doomed
from carnet_keyservice.settings import KeyServiceSettings
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import JobId
from carnet_protocol.limits import MAX_STATEMENT_BYTES
from carnet_protocol.statements import Destruction, Signed
from carnet_server.errors import SettingsError
from carnet_server.program import print_json

DAY: Final = 86_400
DEFAULT_RATE: Final = 1_000
LoadSettings = Callable[[Path | None], KeyServiceSettings]


def add_lock_destruction_command(app: typer.Typer, load: LoadSettings, desk: OpenDesk) -> None:
    """Add `destroy-locks` to `app`."""

    @app.command("destroy-locks")
    def destroy_locks_command(
        settings: SettingsFile = None,
        *,
        order: Annotated[
            list[Path] | None,
            typer.Option("--order", metavar="FILE", help="An officer's signed order; two of two officers are needed."),
        ] = None,
        rate: Annotated[
            int | None,
            typer.Option("--rate", min=1, max=MAX_RATE, help="Items a second at most.", show_default=str(DEFAULT_RATE)),
        ] = None,
        workers: Workers = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and destroy nothing.")] = False,
        resume: Annotated[
            bool, typer.Option("--resume", help="Go on with what was paused or stopped, as it was ordered.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Destroy the record locks that were retired before the time in two officers' orders, for good.

        The vault is asked, record by record, whether anything that opens still stands under them: that is put under the
        newest lock first. A patient's completed revocation is then out of reach of old copies of the vault, too.

        Each of two officers signs an order, wherever they are:
          carnet officer destruction --card card.jws --locks-retired-before 2026-09-01 --save order.jws
        Then, on this machine:
          carnet-keyservice keys destroy-locks --order first.jws --order second.jws
        """
        with desk(settings) as open_desk:
            if resume and not dry_run:
                resume_and_follow(open_desk, JobKind.DESTRUCTION, Pace(rate, workers), as_json=as_json)
                return
            orders = [read_order(file) for file in order or []]
            if not orders or orders[0].body.retired_before is None:
                raise RotationError("nothing was destroyed: name two orders that say until when locks were retired")
            until = orders[0].body.retired_before
            if dry_run:
                records = open_desk.read(lambda connection: count_doomed(connection, until=until))
                print_json({"records": records}) if as_json else typer.echo(f"{records:,} records have such locks")
                return
            parameters = JobParameters(
                rate=rate or DEFAULT_RATE,
                workers=workers or DEFAULT_WORKERS,
                grace_seconds=0,
                retired_before=until,
            )
            horizon = load(settings).backup_horizon_days * DAY
            name = JobId.make()
            job = open_desk.decide(
                lambda moment: begin_lock_destruction(moment, name, orders, parameters, horizon_seconds=horizon)
            )
            follow_job(open_desk, job.id, wanted=JobState.FINISHED, as_json=as_json)


def read_order(file: Path) -> Signed[Destruction]:
    """The order in `file`, whose signature is not checked yet. Raises `SettingsError`."""
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_STATEMENT_BYTES + 2).decode("ascii").strip()
        return Signed.parse(text, Destruction)
    except OSError as error:
        raise SettingsError(f"{file.name} cannot be read") from error
    except (UnicodeDecodeError, ProtocolError) as error:
        raise SettingsError(f"{file.name} is no order: `carnet officer destruction --save` writes one") from error
