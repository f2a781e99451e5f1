"""The tours of the README, typed word by word by somebody who does what it says and no more."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from carnet.session import open_session
from tests.system.cli.conftest import PASSPHRASE, PROGRAM, quiet_environment, running_servers, stop_servers
from tests.system.cli.typist import Typist

README: Final = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
ANSWERS: Final = {"carnet grant ": "[y/N]", "carnet registrar attest": "[y/N]", "carnet recovery confirm": "24 words"}


def commands_of(heading: str) -> list[str]:
    """The commands in the blocks under `heading`, each in one line, without what is said of them."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    text = "".join(re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    return [line for line in (line.partition("  #")[0].strip() for line in text.splitlines()) if line]


class Newcomer:
    """Somebody at a terminal in an empty folder, with a home of their own and their passphrase in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = {
            **quiet_environment(),
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "CARNET_PASSPHRASE_FILE": str(folder / "passphrase"),
            "TERM": "xterm-256color",
            "COLUMNS": "80",
        }
        (folder / "passphrase").write_text(PASSPHRASE)

    def type(self, line: str) -> str:
        """Type `line`, answer what is asked, and return what was shown; it has to go well."""
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.variables[name] = value.replace("~", str(self.folder))
            return ""
        typist = Typist.start(["bash", "-c", f"cd {self.folder} && {line}"], self.variables)
        for beginning, question in ANSWERS.items():
            if line.startswith(beginning):
                typist.wait_for(question)
                typist.type("y" if question == "[y/N]" else self.words())
        assert typist.end() == 0, f"{line}\n{typist.shown}"
        return typist.shown

    def words(self) -> str:
        """What stands on the page that was printed."""
        with open_session(self.folder / ".carnet", passphrase=PASSPHRASE) as session:
            secret = session.keyring.body.recovery_secret
            assert secret is not None
            return " ".join(secret.words())

    def newest_grant(self) -> str:
        """The id of the grant that was signed last."""
        command = [*PROGRAM, "grants", "--json"]
        done = subprocess.run(command, env=self.variables, capture_output=True, check=True)
        return str(json.loads(done.stdout)["grants"][0]["grant"])[:8]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the README asks for before the tours: what the demo leaves behind, and its servers running."""
    folder = tmp_path_factory.mktemp("tour")
    assert commands_of("Two commands")[-2:] == ["carnet demo --keep story", "carnet up --data story/servers"]
    subprocess.run([*PROGRAM, "demo", "--keep", str(folder / "story")], check=True, capture_output=True)
    with running_servers(folder / "story" / "servers") as servers:
        yield folder
        assert stop_servers(servers) == (0, "")


@pytest.fixture
def newcomer(stage: Path, tmp_path: Path) -> Newcomer:
    """Somebody new on that stage."""
    (tmp_path / "story").symlink_to(stage / "story")
    return Newcomer(tmp_path)


def test_tour_of_a_patient(newcomer: Newcomer) -> None:
    commands = commands_of("Five minutes as a patient")
    assert len(commands) == 13
    for command in commands:
        grant = newcomer.newest_grant() if command.startswith("carnet revoke") else ""
        newcomer.type(command.replace("x7QmP2ab", grant))
    with open_session(newcomer.folder / ".carnet", passphrase=PASSPHRASE) as session:
        assert session.keyring.body.recovery_secret is None
    assert len(list((newcomer.folder / "my-record" / "documents").iterdir())) == 4


def test_tour_of_a_clinician(newcomer: Newcomer) -> None:
    commands = commands_of("Five minutes as a clinician")
    assert len(commands) == 11
    for command in commands:
        newcomer.type(command)
    read = (newcomer.folder / "ct.dcm").read_bytes()
    assert read == (newcomer.folder / "story" / "documents" / "scanner-thoracique.dcm").read_bytes()


def test_tour_of_a_security_team(newcomer: Newcomer) -> None:
    commands = commands_of("Five minutes as a security team")
    assert len(commands) == 10
    shown = [newcomer.type(command) for command in commands]
    assert all(text.rstrip().endswith("clean") for text in shown[1:3])
    assert all("finished" in text for text in shown[4:6])
    assert "deactivated" in shown[6]
    assert "is in force by event" in shown[8]
    assert "in force" in shown[9]
