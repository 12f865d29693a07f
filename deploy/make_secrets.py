"""`make secrets`: the passwords and the signing key that docker-compose.yml needs, made once and kept in `.env`.

What is set there already stays as it is. Needs the standard library only.
"""

import os
import re
import secrets
import sys
from pathlib import Path

NAMES = ("POSTGRES_PASSWORD", "POSTGRES_TEMPORAL_PASSWORD", "POSTGRES_ONWARD_PASSWORD", "ONWARD_SIGNING_KEY")


def make_secrets(file: Path) -> list[str]:
    """Add what is missing to an environment file that only its owner may read. Returns the names that were added."""
    text = file.read_text() if file.exists() else ""
    missing = [name for name in NAMES if not re.search(rf"(?m)^\s*(?:export\s+)?{name}\s*=\s*\S", text)]
    if missing:
        lines = "".join(f"{name}={secrets.token_hex(24)}\n" for name in missing)
        with open(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as out:  # noqa: PTH123
            out.write(("\n" if text and not text.endswith("\n") else "") + lines)
    file.chmod(0o600)
    return missing


def main() -> None:
    """The command."""
    added = make_secrets(Path(__file__).resolve().parents[1] / ".env")
    sys.stdout.write(f".env: made {', '.join(added)}\n" if added else ".env has everything already.\n")


if __name__ == "__main__":
    main()
