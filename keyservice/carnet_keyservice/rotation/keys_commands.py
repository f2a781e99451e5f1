"""`carnet-keyservice keys`: which master keys and record locks there are, and the end of those that are out of use."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, func, select

from carnet_keyservice.locks.queries import count_by_master_key
from carnet_keyservice.master_keys.queries import MasterKeyRow, load_master_keys
from carnet_keyservice.master_keys.state import KeyState
from carnet_keyservice.rotation.accept import end_grace, require_row
from carnet_keyservice.rotation.desk import AsJson, Desk, OpenDatabase, SettingsFile, desk_opener
from carnet_keyservice.rotation.destroy_locks_command import LoadSettings, add_lock_destruction_command, read_order
from carnet_keyservice.rotation.destruction import Check, check_master_key, destroy_master_key, mark_compromised
from carnet_keyservice.rotation.show import POLL_SECONDS
from carnet_keyservice.settings import KeyServiceSettings
from carnet_keyservice.startup import make_providers
from carnet_keyservice.tables import record_locks
from carnet_keyservice.words import DAY, format_time
from carnet_server.clock import system_clock
from carnet_server.deployment import Moment
from carnet_server.program import print_json

_DESTRUCTION_SECONDS: Final = 30


def make_keys_app(program: str, load: LoadSettings, open_database: OpenDatabase) -> typer.Typer:
    """The group of commands for `program`."""
    app = typer.Typer(help="See which keys there are, and end those that are out of use.", no_args_is_help=True)
    desk = desk_opener(program, open_database)

    @app.command("list")
    def list_command(settings: SettingsFile = None, *, as_json: AsJson = False) -> None:
        """Print every master key with its state, who keeps it and what is sealed under it, and the record locks."""
        with desk(settings) as open_desk:
            loaded = load(settings)
            described = open_desk.read(lambda connection: _describe(connection, loaded, now=system_clock()))
        if as_json:
            print_json(described)
        else:
            _show(described)

    @app.command("retire")
    def retire_command(
        version: Annotated[int, typer.Argument(min=1, help="Version of the master key.")],
        settings: SettingsFile = None,
        *,
        compromised: Annotated[
            bool, typer.Option("--compromised", help="Somebody else may hold it: it never comes back.")
        ] = False,
    ) -> None:
        """Take a master key out of use for good: end the grace of its rotation, or say that it is compromised.

        The active key is never retired: `rotate master` puts another in its place first.
        """
        with desk(settings) as open_desk:
            retire = mark_compromised if compromised else end_grace
            open_desk.decide(lambda moment: retire(moment, version))
        typer.echo(
            f"master key {version} is compromised" if compromised else f"the grace is over: {version} is being retired"
        )

    @app.command("destroy")
    def destroy_command(
        version: Annotated[int, typer.Argument(min=1, help="Version of the master key.")],
        settings: SettingsFile = None,
        *,
        order: Annotated[
            list[Path] | None,
            typer.Option("--order", metavar="FILE", help="An officer's signed order; two of two officers are needed."),
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, print, and destroy nothing.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Destroy a retired master key, for good, wherever it is kept. What was sealed under it never opens again.

        Each of two officers signs an order, wherever they are:
          carnet officer destruction --card card.jws --master-key 1 --save order.jws
        Then, on this machine:
          carnet-keyservice keys destroy 1 --order first.jws --order second.jws
        """
        with desk(settings) as open_desk:
            loaded = load(settings)
            horizon = loaded.backup_horizon_days * DAY
            afterwards = {each.name: each.afterwards for each in make_providers(loaded)}
            orders = [read_order(file) for file in order or []]

            def work(moment: Moment) -> list[Check]:
                if dry_run:
                    return check_master_key(moment, version, horizon_seconds=horizon)
                return destroy_master_key(moment, version, orders, horizon_seconds=horizon)

            checks = open_desk.decide(work)
            row = _await_destruction(open_desk, version, seconds=0 if dry_run else _DESTRUCTION_SECONDS)
        outcome = "checked" if dry_run else "destroyed" if not row.check_value else "destroying"
        if as_json:
            print_json(
                {
                    "version": version,
                    "outcome": outcome,
                    "provider": row.provider,
                    "checks": [{"name": each.name, "is_met": each.is_met, "found": each.found} for each in checks],
                }
            )
        else:
            for each in checks:
                typer.echo(f"{'yes' if each.is_met else 'NO '}  {each.name}: {each.found}")
            typer.echo(_OUTCOMES[outcome].format(version=version, provider=row.provider))
            if outcome == "destroyed" and row.provider in afterwards:
                typer.echo(afterwards[row.provider])
        raise typer.Exit(0 if all(each.is_met for each in checks) else 1)

    add_lock_destruction_command(app, load, desk)
    return app


_OUTCOMES: Final = {
    "checked": "nothing was destroyed",
    "destroying": "master key {version} is destroyed here; each program that runs has its {provider} destroy it now: "
    "`keys list` shows when that is done",
    "destroyed": "master key {version} is destroyed",
}


def _await_destruction(desk: Desk, version: int, *, seconds: float) -> MasterKeyRow:
    """The row of `version` once a program that runs has had its provider destroy it, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        row = desk.read(lambda connection: require_row(connection, version))
        if not row.check_value or time.monotonic() >= deadline:
            return row
        time.sleep(POLL_SECONDS)


def _describe(connection: Connection, settings: KeyServiceSettings, *, now: int) -> dict[str, Any]:
    references = count_by_master_key(connection)
    horizon = settings.backup_horizon_days * DAY
    keys = []
    for row in load_master_keys(connection):
        is_out = row.state in {KeyState.DEACTIVATED, KeyState.COMPROMISED}
        keys.append(
            {
                "version": row.version,
                "state": row.state.value,
                "provider": row.provider,
                "made_at": row.made_at,
                "since": row.changed_at,
                "seals": references.get(row.version, 0),
                "destroyable_from": row.changed_at + horizon if is_out else None,
                "is_due": row.state is KeyState.ACTIVE and now - row.made_at > settings.master_key_days * DAY,
                "is_confirmed": row.state is not KeyState.DESTROYED or not row.check_value,
            }
        )
    newest = select(record_locks.c.record, func.max(record_locks.c.version).label("version")).group_by(
        record_locks.c.record
    )
    total, retired, destroyed = connection.execute(
        select(func.count(), func.count(record_locks.c.retired), func.count(record_locks.c.destroyed)).select_from(
            record_locks
        )
    ).one()
    in_use = connection.execute(select(func.count()).select_from(newest.subquery())).scalar_one()
    return {
        "master_keys": keys,
        "record_locks": {
            "newest": in_use,
            "superseded": total - in_use - retired,
            "retired": retired - destroyed,
            "destroyed": destroyed,
        },
    }


def _show(described: dict[str, Any]) -> None:
    console = Console()
    table = Table("master key", "state", "kept by", "seals under it", "since", box=None, pad_edge=False)
    for key in described["master_keys"]:
        state = key["state"] + (", due for rotation" if key["is_due"] else "")
        state += "" if key["is_confirmed"] else ", its provider not yet done"
        table.add_row(str(key["version"]), state, key["provider"], f"{key['seals']:,}", format_time(key["since"]))
    console.print(table)
    counts = described["record_locks"]
    console.print(
        f"record locks: {counts['newest']:,} in use, {counts['superseded']:,} superseded, "
        f"{counts['retired']:,} retired, {counts['destroyed']:,} destroyed"
    )
