"""`make pin-images`: pin every base image by its digest (`name:tag@sha256:…`) in Dockerfile and docker-compose.yml.

Asks the registry by `docker buildx imagetools inspect`, so it needs Docker and a network. Run it again when a tag has
changed. Needs the standard library only.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "docker-compose.yml")
IMAGE = re.compile(r"(?m)^(FROM |    image: )([\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?(?=\s|$)")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(image: str) -> str:
    """The digest of an image of all its platforms. Raises RuntimeError."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise RuntimeError(f"Docker cannot be run: {error}") from error
    digest = done.stdout.strip()
    if done.returncode != 0 or not DIGEST.fullmatch(digest):
        raise RuntimeError(
            f"the digest of {image} is not known: {done.stderr.strip() or digest or 'no answer'}"
        )
    return digest


def pin(root: Path) -> dict[str, str]:
    """Pin all; returns the digests by image. Changes no file if one of them is not known. Raises RuntimeError."""
    texts = {root / name: (root / name).read_text() for name in FILES}
    images = dict.fromkeys(found[2] for text in texts.values() for found in IMAGE.finditer(text))
    digests = {image: digest_of(image) for image in images}
    for file, text in texts.items():
        file.write_text(IMAGE.sub(lambda found: f"{found[1]}{found[2]}@{digests[found[2]]}", text))
    return digests


def main() -> None:
    """The command."""
    try:
        pinned = pin(ROOT)
    except RuntimeError as error:
        sys.exit(f"Nothing was pinned: {error}")
    for image, digest in pinned.items():
        sys.stdout.write(f"{image}@{digest}\n")


if __name__ == "__main__":
    main()
