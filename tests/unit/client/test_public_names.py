"""The SDK's public names, and the example in the README, which is run as it stands there."""

import subprocess
import sys
from pathlib import Path

import pytest

import carnet
from carnet import sdk
from tests.support.client import PASSPHRASE, ClientWorld
from tests.support.story import Story

README = Path(__file__).parents[3] / "README.md"


def test_every_public_name_can_be_had_and_no_other() -> None:
    for name in sdk.__all__:
        assert getattr(carnet, name) is getattr(sdk, name)
    with pytest.raises(AttributeError):
        carnet.nothing_of_that_name  # noqa: B018  the look-up is what is tested


def test_importing_carnet_imports_next_to_nothing() -> None:
    script = "import sys, carnet; print([name for name in sys.modules if name.startswith(('carnet.', 'cryptography'))])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    text = README.read_text("utf-8")
    example = text.partition("```python\n")[2].partition("```")[0]
    world = ClientWorld.make(tmp_path)
    world.start()
    try:
        Story.make(world, tmp_path)
        monkeypatch.setattr(Path, "home", lambda: tmp_path)
        (tmp_path / ".carnet-doctor").symlink_to(world.home("bob").path)
        monkeypatch.chdir(tmp_path)
        opened = carnet.open_session

        def open_here(home: Path, *, passphrase: str) -> carnet.Session:
            return opened(home, passphrase=passphrase, **world.options())

        monkeypatch.setattr(sdk, "open_session", open_here)
        exec(compile(example, "README.md", "exec"), {"passphrase": PASSPHRASE})  # noqa: S102  our own README
        assert len(list(tmp_path.glob("*.bin"))) == 2
    finally:
        world.stop()
