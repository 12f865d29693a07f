"""Wheels made by hand, for tests of what installs them. Needs the standard library only: a build backend imports it."""

import base64
import hashlib
import zipfile
from pathlib import Path


def write_wheel(folder: Path, name: str, path: str | None = None) -> Path:
    """A wheel with one module, or, as an editable one, with the path of a folder."""
    files = {
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        **({f"{name}.pth": path} if path else {f"{name}.py": f"NAME = {name!r}\n"}),
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).decode().rstrip('=')},"
        f"{len(content)}\n"
        for file, content in files.items()
    )
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, content in {**files, f"{name}-1.0.dist-info/RECORD": record}.items():
            archive.writestr(file, content)
    return wheel
