"""The runbook of keyservice/README.md, read and done: its commands, line by line, by real programs.

walk = Walk(process.root, process, filled={"OLD": "1", "NEW": "2", "GRACE": "0"})
walk.take(SECTIONS["The master key, once a year"][0])

A line is a command and, after `#`, what it prints: each part in quotes must be found there, and `exit 1` says that this
is its exit code. Words in capitals are filled in. `systemctl` starts and stops the programs of the test.
"""

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.keyservice_process import KeyServiceProcess
from tests.support.vault_process import VaultProcess

README: Final = Path(__file__).resolve().parents[2] / "keyservice" / "README.md"
_QUOTED: Final = re.compile(r'"([^"]+)"')
_OTHERS: Final = frozenset({"cp", "rm"})
Said = tuple[int, str]
"""Exit code, and what was printed on either stream."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command and what is said of it."""

    command: str
    said: str

    @classmethod
    def parse(cls, text: str) -> "Line":
        """One line of a block of code."""
        command, _, said = text.partition(" #")
        return cls(command.strip(), said.strip())

    @property
    def code(self) -> int:
        """The exit code to be."""
        return int("exit 1" in self.said)


Block = tuple[Line, ...]


def read_sections() -> dict[str, tuple[Block, ...]]:
    """The blocks of code of each section of the runbook, by its heading."""
    runbook = README.read_text().split("\n## Runbook\n")[1].split("\n## ")[0]
    return {
        section.split("\n", 1)[0].strip(): tuple(
            tuple(Line.parse(line) for line in block.splitlines() if line.strip())
            for block in re.findall(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        )
        for section in runbook.split("\n### ")[1:]
    }


SECTIONS: Final = read_sections()


@dataclass
class Walk:
    """Somebody at the key service's machine, in the folder `folder`, who types what the runbook says."""

    folder: Path
    keyservice: KeyServiceProcess
    vault: VaultProcess | None = None
    filled: Mapping[str, str] = field(default_factory=dict)
    officers: Callable[[list[str]], Said] | None = None
    """Runs a command of `carnet`."""

    def take(self, block: Block) -> None:
        """Type the lines of `block`; each must say and end as the runbook has it."""
        for line in block:
            code, printed = self._run(shlex.split(self.fill(line.command)))
            shown = " ".join(printed.split())
            assert code == line.code, (line, code, printed)
            for words in _QUOTED.findall(line.said):
                assert self.fill(words) in shown, (line, printed)

    def fill(self, text: str) -> str:
        """`text` with words in capitals filled in."""
        return re.sub(r"[A-Z]{2,}", lambda found: self.filled.get(found[0], found[0]), text)

    def _run(self, words: list[str]) -> Said:
        match words:
            case ["carnet-keyservice", *rest]:
                return _said(self.keyservice.run(*self._absolute(rest)))
            case ["carnet-vault", *rest]:
                assert self.vault is not None
                return _said(self.vault.run(*self._absolute(rest)))
            case ["carnet", *rest]:
                assert self.officers is not None
                return self.officers(self._absolute(rest))
            case ["systemctl", what, *names]:
                for name in names:
                    self._control(what, name)
                return 0, ""
            case [program, *_] if program in _OTHERS:
                return _said(subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False))
            case _:
                raise AssertionError(f"the runbook has a command that nobody can walk: {words}")

    def _control(self, what: str, name: str) -> None:
        program = {"carnet-keyservice": self.keyservice, "carnet-vault": self.vault}[name]
        assert program is not None
        if what in {"stop", "restart"} and program.program is not None:
            assert program.stop() == 0
        if what in {"start", "restart"}:
            program.start()

    def _absolute(self, words: list[str]) -> list[str]:
        """`words`, with files in this folder."""
        return [str(self.folder / word) if re.fullmatch(r"[\w-]+\.(jws|key)", word) else word for word in words]


def _said(done: subprocess.CompletedProcess[str]) -> Said:
    return done.returncode, done.stdout + done.stderr
