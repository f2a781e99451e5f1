"""`carnet up`: both servers on this machine, to stay."""

import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

from rich.table import Table
from rich.text import Text
from typer import Option

from carnet.cli.command import command_without_home
from carnet.cli.exits import Exit
from carnet.cli.terminal import Terminal, facts
from carnet.deployment.prepare import Deployment, prepare_deployment
from carnet.deployment.process import NAMES
from carnet.deployment.registrar import PASSPHRASE_FILE, load_or_make_registrar_key
from carnet.deployment.supervisor import running
from carnet.errors import UsageError
from carnet_protocol.errors import UnsupportedSuiteError
from carnet_protocol.suites import Suite, parse_suite


@command_without_home
def up(
    terminal: Terminal,
    *,
    data: Annotated[Path, Option("--data", metavar="FOLDER", help="Where the servers keep everything.")],
    listen: Annotated[
        str | None,
        Option(
            "--listen",
            metavar="ADDRESS[:PORT]",
            help="Address to listen on, at first 127.0.0.1; the vault takes PORT and the key service the one after it, "
            "at first any two that are free.",
        ),
    ] = None,
    name: Annotated[
        str | None, Option("--name", metavar="HOST", help="Name by which others reach this machine; at first ADDRESS.")
    ] = None,
    tls_cert: Annotated[
        Path | None, Option("--tls-cert", metavar="FILE", help="Certificate for that name, with its chain.")
    ] = None,
    tls_key: Annotated[Path | None, Option("--tls-key", metavar="FILE", help="Its key.")] = None,
    write_suite: Annotated[
        int | None, Option("--write-suite", metavar="SUITE", help="Seal everything new under this suite.")
    ] = None,
    suite_floor: Annotated[
        int | None,
        Option(
            "--suite-floor",
            metavar="SUITE",
            help="Refuse what is below this suite; raise it once both servers count nothing there.",
        ),
    ] = None,
) -> Exit:
    r"""Run a vault and a key service on this machine until Ctrl-C.

    The first time FOLDER is made: keys, databases, a signed service card, a registrar. Later it goes on from there, on
    the same ports, which the card names; what is not given stays as it was, and what changes makes a new card, for
    which its key must be there. Off this machine's loopback, TLS is a must.

    \b
    Examples:
      carnet up --data ~/carnet-servers
      carnet up --data /srv/carnet --listen 0.0.0.0:8443 --name carnet.example --tls-cert chain.pem --tls-key key.pem
    """
    deployment = prepare_deployment(
        data,
        registrar_key=load_or_make_registrar_key,
        listen=listen,
        name=name,
        tls_certificate=tls_cert,
        tls_key=tls_key,
        floor=_parse_suite(suite_floor),
        write=_parse_suite(write_suite),
    )
    terminal.say("Starting a vault and a key service ...", style="dim")
    # Signals are noted from before anybody is told that the servers run.
    with running(deployment) as servers, _until_signal() as stop:
        terminal.answer(_describe(deployment), [_facts(deployment), _next_steps(deployment)])
        servers.watch(
            until=stop.is_set,
            on_restart=lambda name: terminal.say(f"The {NAMES[name]} ended; starting it again.", style="yellow"),
        )
        terminal.say("Stopping ...", style="dim")
    return Exit.DONE


def _parse_suite(number: int | None) -> Suite | None:
    """The suite called `number`. Raises `UsageError`."""
    try:
        return None if number is None else parse_suite(number)
    except UnsupportedSuiteError as error:
        raise UsageError("there is no such suite here: see `carnet version`") from error


def _describe(deployment: Deployment) -> dict[str, object]:
    return {
        "data": str(deployment.folder.path),
        "vault": deployment.address.vault_origin,
        "keyservice": deployment.address.keyservice_origin,
        "card": str(deployment.folder.card),
        "card_serial": deployment.card.body.serial,
        "card_fingerprint": str(deployment.fingerprint),
        "registrar": str(deployment.folder.registrar),
    }


def _facts(deployment: Deployment) -> Table:
    return facts(
        ("Vault", deployment.address.vault_origin),
        ("Key service", deployment.address.keyservice_origin),
        ("Service card", f"{deployment.folder.card} (serial {deployment.card.body.serial})"),
        ("Card key", str(deployment.fingerprint)),
        ("Registrar", str(deployment.folder.registrar)),
    )


def _next_steps(deployment: Deployment) -> Text:
    card = shlex.quote(str(deployment.folder.card))
    registrar = shlex.quote(str(deployment.folder.registrar))
    passphrase = shlex.quote(str(deployment.folder.registrar / PASSPHRASE_FILE))
    lines = (
        ("", ""),
        ("Tell people the card key's fingerprint; with it they can check the card that they are given.", "dim"),
        ("", ""),
        ("A patient begins with", "dim"),
        (f"  carnet init --card {card}", ""),
        ("  carnet record open", ""),
        ("A practitioner begins with", "dim"),
        (f"  carnet --home ~/.carnet-doctor init --card {card} --practitioner", ""),
        ("  carnet --home ~/.carnet-doctor whoami --save doctor.json", ""),
        ("and is attested with", "dim"),
        (f"  carnet registrar attest doctor.json --home {registrar} --passphrase-file {passphrase} \\", ""),
        ('      --name "Dr Bob Martin" --profession physician --organisation "Cabinet Martin"', ""),
        (f"  carnet registrar publish --home {registrar} --passphrase-file {passphrase} --card {card}", ""),
        ("", ""),
        ("Ctrl-C stops both servers; the same command starts them again.", "dim"),
    )
    return Text("\n").join(Text(line, style=style) for line, style in lines)


@contextmanager
def _until_signal() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set; what they did before comes back afterwards."""
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
