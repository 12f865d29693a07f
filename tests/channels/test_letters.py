"""Letters handed over: whole files in a folder, or a provider's API; the second time the same."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from channels.errors import DeliveryError, MessageRefused, OutcomeUnknown, SenderRefused, TryLater, Withdrawn
from channels.letters import LetterFolder, LetterProvider, PrintedLetter
from tests.support.http_server import Reply
from tests.support.letter_server import LetterServer

LETTER = PrintedLetter("m1", b"%PDF-1.4 hello")


def files(folder: Path) -> dict[str, bytes]:
    """What is in the folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@pytest.fixture
async def server() -> AsyncIterator[LetterServer]:
    async with LetterServer() as server:
        yield server


async def post(server: LetterServer, token: str | None = LetterServer.TOKEN) -> dict[str, object]:
    channel = LetterProvider(f"{server.url}/letters", token, 2)
    try:
        return {**await channel.deliver(LETTER, yes)}
    finally:
        await channel.close()


async def test_a_letter_is_one_whole_file_named_by_its_id(tmp_path: Path) -> None:
    channel = LetterFolder(tmp_path)
    assert await channel.deliver(LETTER, yes) == {"file": "m1.pdf"}
    assert files(tmp_path) == {"m1.pdf": LETTER.pdf}


async def test_a_repeat_writes_the_same_file(tmp_path: Path) -> None:
    channel = LetterFolder(tmp_path)
    for _ in range(2):
        await channel.deliver(LETTER, yes)
    assert files(tmp_path) == {"m1.pdf": LETTER.pdf}


async def test_at_the_claim_the_letter_is_not_there_yet_and_withdrawn_it_never_is(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    async def look_and_say_no() -> bool:
        seen.append([name for name in files(tmp_path) if not name.startswith(".")])
        return False

    with pytest.raises(Withdrawn):
        await LetterFolder(tmp_path).deliver(LETTER, look_and_say_no)
    assert seen == [[]]
    assert files(tmp_path) == {}


async def test_what_the_claim_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    async def fail() -> bool:
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError):
        await LetterFolder(tmp_path).deliver(LETTER, fail)
    assert files(tmp_path) == {}


async def test_a_folder_that_is_not_there_is_ours(tmp_path: Path) -> None:
    with pytest.raises(SenderRefused, match="the folder for letters: No such file or directory"):
        await LetterFolder(tmp_path / "none").deliver(LETTER, yes)


async def test_a_full_disk_is_for_later_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TryLater, match="No space left on device"):
        await LetterFolder(tmp_path).deliver(LETTER, yes)
    assert files(tmp_path) == {}


async def test_a_provider_prints_a_letter_once_however_often_it_comes(server: LetterServer) -> None:
    assert await post(server) == await post(server) == {"status": 202, "provider_id": "letter-1"}
    assert server.taken == [{"id": "m1", "pdf": LETTER.pdf}]


async def test_nothing_is_posted_where_the_claim_says_no(server: LetterServer) -> None:
    channel = LetterProvider(f"{server.url}/letters", None, 2)
    with pytest.raises(Withdrawn):
        await channel.deliver(LETTER, no)
    assert server.requests == []
    await channel.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply("401 Unauthorized"), SenderRefused),
        (Reply("404 Not Found"), SenderRefused),
        (Reply("422 Unprocessable Content", body=b"no postage"), MessageRefused),
        (Reply("429 Too Many", {"retry-after": "30"}), TryLater),
        (Reply("503 Away"), TryLater),
        (Reply("500 Broken"), OutcomeUnknown),
    ],
    ids=lambda value: value.status if isinstance(value, Reply) else None,
)
async def test_a_refusal_says_whose_fault_it_is(
    server: LetterServer, reply: Reply, expected: type[DeliveryError]
) -> None:
    server.replies = [reply]
    with pytest.raises(expected):
        await post(server)
    assert server.taken == []


async def test_a_line_cut_after_the_letter_is_unknown(server: LetterServer) -> None:
    server.cuts = 1
    with pytest.raises(OutcomeUnknown):
        await post(server)
    await post(server)
    assert len(server.taken) == 1


async def test_a_key_known_with_another_letter_stays_unknown_since_one_of_the_two_is_printed(
    server: LetterServer,
) -> None:
    server.replies = [Reply("409 Conflict")]
    with pytest.raises(OutcomeUnknown) as unknown:
        await post(server)
    assert unknown.value.final


async def test_without_a_token_none_is_sent(server: LetterServer) -> None:
    with pytest.raises(SenderRefused):
        await post(server, token=None)
    assert "authorization" not in server.requests[0].headers
