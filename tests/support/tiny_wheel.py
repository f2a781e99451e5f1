"""Writes the smallest wheel that pip accepts, and is itself the build backend of a project that needs no network.

A copy of this file inside a project, named as its backend, answers an editable install.
"""

import base64
import hashlib
import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    """Writes version 1 of the package `name`, holding `files`, into `folder`, and returns the wheel."""
    info = f"{name}-1.dist-info"
    entries = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tiny\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}_story:main\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in entries.items())
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in (entries | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}).items():
            archive.writestr(path, text)
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def build_editable(wheel_directory: str, _config_settings: object = None, _metadata_directory: object = None) -> str:
    """Answers an editable install: the folder of this file goes on the path (PEP 660)."""
    return write_wheel(Path(wheel_directory), "carnet", {"carnet_here.pth": str(Path(__file__).parent)}).name
