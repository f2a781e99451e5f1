"""`carnet record`."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from carnet.access import RecordAccess
from carnet.cli.command import Answer, Desk, command
from carnet.cli.plain import plain
from carnet.cli.running import make_group
from carnet.cli.terminal import facts, table
from carnet.cli.whose_record import compartment_names, open_own
from carnet.errors import UsageError
from carnet.records import open_record

record = make_group("Open your record and see its parts.")


@record.command("open")
@command
def open_own_record(
    desk: Desk,
    *,
    parts: Annotated[
        list[str] | None, Option("--compartment", metavar="NAME", help="A further part; may be given several times.")
    ] = None,
) -> Answer:
    r"""Open your record: make its parts and the keys to them. Run again, it adds what is missing.

    A record begins with the parts general, medication, laboratory, imaging and private. Nobody reads any of them until
    you say so; the servers do not even learn their names.

    \b
    Examples:
      carnet record open
      carnet record open --compartment "mental health"
    """
    with desk.open_session() as session:
        access = open_record(session)
        wanted = _name_parts(parts or (), known=compartment_names(access).values())
        return _answer(open_record(session, wanted) if wanted else access)


@record.command("show")
@command
def show_record(desk: Desk) -> Answer:
    """Show the parts of your record, and how often each was given new keys."""
    with desk.open_session() as session:
        return _answer(open_own(session))


def _name_parts(wanted: Sequence[str], *, known: Iterable[str]) -> list[str]:
    """The `wanted` names that are new beside the `known` ones, in a form that a person can tell from all others.

    Raises `UsageError` for a name that is none, or that is another one but for its capitals.
    """
    taken = {name.casefold(): name for name in known}
    new: list[str] = []
    for name in (" ".join(one.split()) for one in wanted):
        if not name:
            raise UsageError("a part of a record wants a name")
        if name.casefold() not in taken:
            new.append(name)
        if taken.setdefault(name.casefold(), name) != name:
            raise UsageError(f"there is a part {taken[name.casefold()]} already: take a name that differs in more")
    return new


def _answer(access: RecordAccess) -> Answer:
    parts = sorted(access.compartments.values(), key=lambda compartment: compartment.name or "")
    lines = table("Part", "Keys renewed")
    for compartment in parts:
        lines.add_row(plain(compartment.name or "-"), _say_renewals(compartment.newest.body.epoch - 1))
    version = None if access.lock is None else access.lock.body.version
    shown: list[RenderableType] = [
        facts(("Record", str(access.record)), ("Record lock", "none yet" if version is None else f"version {version}")),
        Text(),
        lines,
    ]
    return Answer(
        {
            "record": str(access.record),
            "lock_version": version,
            "compartments": [
                {"compartment": str(one.id), "name": one.name, "epoch": one.newest.body.epoch} for one in parts
            ],
        },
        shown,
    )


def _say_renewals(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
