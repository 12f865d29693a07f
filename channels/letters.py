"""Letters handed over to be printed and posted: into a folder that a printer's software empties, or to an API.

Both know a letter again by its id. A file of the same name is overwritten by the same bytes; an API gets the id as
its `Idempotency-Key`. Whoever takes files out of the folder has to know a name again that was taken out before.
"""

import asyncio
import errno
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from channels.errors import OutcomeUnknown, SenderRefused, TryLater, Withdrawn, kept
from channels.http import HttpClient, failure
from channels.protocol import Claim
from processes.values import Json

_OURS = frozenset({errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.ENAMETOOLONG})
"""What a person must mend; a full disk mends itself, or somebody is on it already."""


@dataclass(frozen=True)
class PrintedLetter:
    """A letter, set. `id` is ours, the same for every try, and fit for a file's name."""

    id: str
    pdf: bytes


class LetterFolder:
    """Writes each letter as `<id>.pdf`. It appears whole or not at all, and is on the disk then.

    Args:
        folder: must be there.
    """

    remembers: timedelta | None = None
    """A repeat is the same file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, message: PrintedLetter, claim: Claim) -> dict[str, Json]:
        """Write it; returns the file's name.

        Raises:
            SenderRefused: the folder is not there, or not ours to write.
            TryLater: the disk is full, or fails.
            Withdrawn: `claim` said no.
        """
        whole = self._folder / f"{message.id}.pdf"
        unfinished = self._folder / f".{message.id}.{secrets.token_hex(4)}"
        try:
            await asyncio.to_thread(_write, unfinished, message.pdf)
            if not await claim():
                raise Withdrawn
            await asyncio.to_thread(_rename, unfinished, whole)
        except OSError as error:
            words = f"the folder for letters: {error.strerror or error}"
            raise (SenderRefused if error.errno in _OURS else TryLater)(words) from error
        finally:
            with suppress(OSError):
                unfinished.unlink()
        return {"file": whole.name}

    async def close(self) -> None:
        """Nothing is open."""


class LetterProvider:
    """Posts each letter as `application/pdf`, with its id as `Idempotency-Key`.

    Args:
        url: where letters are posted.
        token: sent as a bearer token, or None.
        timeout: seconds for one letter.
    """

    remembers: timedelta | None = timedelta(hours=23)
    """An API must know a key again for 24 hours, as `docs/channels.md` asks; the last try may take its time."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self._url = url
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = HttpClient("the letter provider", timeout, headers=headers)

    async def deliver(self, message: PrintedLetter, claim: Claim) -> dict[str, Json]:
        """Post it; returns the provider's id of it, where the answer has one.

        Raises:
            MessageRefused: the provider does not take the letter.
            SenderRefused: the credentials, or the address.
            TryLater: a rate limit, or nobody is there.
            OutcomeUnknown: no whole answer; a repeat is safe while the provider knows the key. Or it knows the key
                with another letter: one of the two is printed.
            Withdrawn: `claim` said no.
        """
        if not await claim():
            raise Withdrawn
        headers = {"content-type": "application/pdf", "idempotency-key": message.id}
        reply = await self._http.request("POST", self._url, content=message.pdf, headers=headers)
        if reply.status == 409:
            raise OutcomeUnknown(
                f"the letter provider knows this letter's id already: {reply.text}", final=True
            )
        if not reply.is_success:
            raise failure("the letter provider", reply)
        given = reply.object.get("id")
        return {"status": reply.status} | (
            {"provider_id": kept(str(given)[:200])} if given is not None else {}
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._http.close()


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename(unfinished: Path, whole: Path) -> None:
    unfinished.replace(whole)
    folder = os.open(whole.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
