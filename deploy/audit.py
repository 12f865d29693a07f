"""`make audit`: look for known vulnerabilities in the locked packages with pip-audit, run by the pinned uv.

Ends with an error if it finds one. Where the service that knows them cannot be reached, or knows none of the packages
(a mirror answers in its place), it says that nothing was looked for and ends with 0.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PIP_AUDIT = "pip-audit==2.9.0"


def report(output: str) -> tuple[str, int]:
    """What to say of pip-audit's JSON, and the exit code."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        packages = []
    looked_at = [package for package in packages if "skip_reason" not in package]
    if not looked_at:
        return "Nothing was looked for: the service that knows vulnerabilities cannot be reached.", 0
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {vulnerability['fix_versions']}"
        for package in looked_at
        for vulnerability in package["vulns"]
    ]
    skipped = len(packages) - len(looked_at)
    said = f"{len(looked_at)} packages looked at, {skipped} not known to the service, {len(found)} vulnerabilities."
    return "\n".join([*found, said]), 1 if found else 0


def main() -> int:
    """The command."""
    command = [
        str(ROOT / ".venv" / "uv" / "bin" / "uv"), "tool", "run", PIP_AUDIT, "--format", "json",
        "--requirement", str(ROOT / "requirements-dev.lock"), "--require-hashes", "--disable-pip",
        "--progress-spinner=off",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    said, code = report(done.stdout)
    sys.stdout.write(f"{said}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
