"""The folder that a demo is played in to be kept.

It carries a mark until the demo has ended: where one was stopped, the next one begins anew. Any other folder that holds
something is somebody's, and left alone.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from carnet.errors import UsageError
from carnet.held_folder import hold_folder

_MARK: Final = "unfinished"
_WORDS: Final = "A demo began here and did not end. The next one that is kept here removes everything in this folder.\n"


@contextmanager
def keep_folder(path: Path) -> Iterator[Path]:
    """The folder `path`, made if need be, with nothing but the mark in it; the mark goes when the block has ended well.

    Raises `UsageError` for a folder that holds something else or cannot be used, `HomeBusyError` where a demo is on.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already and no folder: name a new one") from error
    except OSError as error:
        raise _refuse(path, error) from error
    with hold_folder(path, busy=f"a demo is played in {path} at this moment: wait for its end, or name a new folder"):
        mark = path / _MARK
        try:
            _begin_anew(path, mark)
        except OSError as error:
            raise _refuse(path, error) from error
        yield path
        mark.unlink()


def _begin_anew(path: Path, mark: Path) -> None:
    found = set(path.iterdir())
    if found and mark not in found:
        raise UsageError(f"{path} is there already and not empty: name a new folder")
    # The mark first and for as long as anything else is there: a demo that ends here can be begun anew as well.
    mark.write_text(_WORDS)
    for one in found - {mark}:
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()


def _refuse(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be used: {error.strerror}: name another folder")
