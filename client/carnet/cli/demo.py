"""`carnet demo`."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from carnet.cli.command import Answer, command_without_home
from carnet.cli.exits import Exit
from carnet.cli.playbill import Playbill, show_holdings, show_outcomes, show_search
from carnet.cli.terminal import Terminal
from carnet.demo.holdings import Holding, list_holdings
from carnet.demo.kept_folder import keep_folder
from carnet.demo.stage import Stage
from carnet.demo.step import Outcome
from carnet.demo.story import play_story


@command_without_home
def demo(
    terminal: Terminal,
    *,
    keep: Annotated[
        Path | None, Option("--keep", metavar="FOLDER", help="Play it in FOLDER and leave everything there.")
    ] = None,
) -> Answer:
    r"""Play the whole story: a patient, a laboratory, a doctor, a thief, and two servers that see nothing.

    Two real servers are started on this machine, and documents are made on the spot; it takes about half a minute.
    Nothing is left behind, unless you keep it: in a new folder, or over a demo that was stopped there.

    \b
    Examples:
      carnet demo
      carnet demo --keep ~/carnet-demo
    """
    with _stage_folder(keep) as folder, ExitStack() as exits:
        stage = Stage.build(folder, exits)
        with Playbill(terminal) as playbill:
            outcomes = play_story(
                stage,
                on_chapter=playbill.begin_chapter,
                on_step=playbill.begin_step,
                on_outcome=playbill.end_step,
            )
        holdings = {path.name: list_holdings(path) for path in stage.server_folders} if stage.is_set else {}
        exits.close()
        return _answer(stage, outcomes, holdings, keep)


def _answer(stage: Stage, outcomes: list[Outcome], holdings: dict[str, list[Holding]], keep: Path | None) -> Answer:
    is_ok = all(outcome.is_ok for outcome in outcomes)
    shown: list[RenderableType] = [
        *show_holdings(holdings),
        *show_search(stage.searched, stage.searched_for),
        *show_outcomes(outcomes),
    ]
    if keep is not None:
        shown.append(_invitation(keep))
    return Answer({"steps": [outcome.describe() for outcome in outcomes]}, shown, Exit.DONE if is_ok else Exit.REFUSED)


@contextmanager
def _stage_folder(keep: Path | None) -> Iterator[Path]:
    """`keep`, or a folder that is gone afterwards."""
    if keep is not None:
        with keep_folder(keep.absolute()) as kept:
            yield kept
        return
    with TemporaryDirectory(prefix="carnet-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _invitation(folder: Path) -> Text:
    place = shlex.quote(str(folder.absolute()))
    options = f"--passphrase-file {place}/passphrase"
    lines = (
        ("", ""),
        ("Everything is still there. In one terminal:", "bold"),
        *_way_to_the_command(),
        (f"  carnet up --data {place}/servers", ""),
        ("In another:", "bold"),
        *_way_to_the_command(),
        (f"  carnet list --home {place}/alices-new-laptop {options}", ""),
        (f"  carnet history --home {place}/alices-new-laptop {options}", ""),
        (f"  carnet inbox --home {place}/dr-bob {options}", ""),
        (f"  carnet list --home {place}/thief {options}", ""),
        ("The last one is refused: that laptop was stolen.", "dim"),
    )
    return Text("\n").join(Text(line, style=style) for line, style in lines)


def _way_to_the_command() -> tuple[tuple[str, str], ...]:
    """What makes a terminal find the command; nothing where it is found without the environment that this runs in."""
    own = Path(sys.executable).parent
    others = [folder for folder in os.get_exec_path() if Path(folder) != own]
    if shutil.which("carnet", path=os.pathsep.join(others)) is not None:
        return ()
    return ((f'  export PATH={shlex.quote(str(own))}:"$PATH"', ""),)
