"""`onward bounces`, `onward refusals` and `onward suppressions` against a real API."""

import mailbox
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from store import rows
from tests.channels.returned import COMPLAINT, OURS, POSTFIX
from tests.cli.conftest import Onward
from tests.support.engine import Engine
from tests.support.people import contact, meet

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SECRET = ("--secret", "let-me-in")


async def sent(engine: Engine) -> None:
    """A message of ours that came back."""
    settings = engine.services.settings
    engine.services.settings = settings.model_copy(update={"bounces_secret": SecretStr("let-me-in")})
    person, now = await meet(engine), datetime.now(UTC)
    async with engine.services.database.write() as connection:
        await connection.execute(
            insert(rows.messages).values(
                id=OURS, instance_id="welcome/1", step="hello", visit=1, process_key="welcome",
                contact_id=person.id, channel="email", recipient=engine.address, state="sent", attempts=1,
                claimed_at=now, closed_at=now,
            )
        )  # fmt: skip


def maildir(folder: Path, **mails: str) -> Path:
    """A Maildir with these new mails."""
    for part in ("new", "cur", "tmp"):
        (folder / part).mkdir(parents=True)
    for name, mail in mails.items():
        (folder / "new" / name).write_text(mail)
    return folder


async def test_a_message_that_came_back_is_listed_with_its_cause(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    await sent(engine)
    assert "No message was refused." in (await onward("refusals")).out
    await onward("bounces", "read", maildir(tmp_path / "box", a=POSTFIX), *SECRET)
    listed = await onward("refusals", "--fault", "recipient", "--channel", "email")
    assert "no_mailbox" in listed.out
    assert "welcome/1" in listed.out
    assert (await onward("refusals", "--cause", "mailbox_full", "--json")).json["items"] == []
    assert (await onward("refusals", "--cause", "bad_weather")).code == 1


async def test_a_maildir_is_read_once(onward: Onward, engine: Engine, tmp_path: Path) -> None:
    await sent(engine)
    box = maildir(tmp_path / "box", a=POSTFIX, b="Subject: hello\n\nhello")
    said = await onward("bounces", "read", box, *SECRET)
    assert said.code == 0, said.err
    assert "2 mails: 1 recorded, 1 ignored" in said.out
    assert OURS in said.out
    assert (await contact(engine)).email_state == "bounced"
    assert sorted(path.name for path in (box / "cur").iterdir()) == ["a:2,S", "b:2,S"]
    assert list((box / "new").iterdir()) == []
    assert "0 mails: none" in (await onward("bounces", "read", box, *SECRET)).out
    again = await onward("bounces", "read", box, *SECRET, "--again", "--json")
    assert [one["outcome"] for one in again.json] == ["repeated", "ignored"]


async def test_an_mbox_and_a_single_mail_are_read_and_left_alone(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    await sent(engine)
    box = mailbox.mbox(tmp_path / "mbox")
    for mail in (POSTFIX, COMPLAINT):
        box.add(mail)
    box.close()
    single = tmp_path / "one.eml"
    single.write_text(POSTFIX)
    before = (tmp_path / "mbox").read_bytes()
    said = await onward("bounces", "read", tmp_path / "mbox", single, *SECRET, "--json")
    assert [one["state"] for one in said.json] == ["bounced", "complained", "complained"]
    assert (tmp_path / "mbox").read_bytes() == before


async def test_what_cannot_be_read_or_is_not_let_in_fails_and_marks_nothing(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    await sent(engine)
    box = maildir(tmp_path / "box", a=POSTFIX)
    refused = await onward("bounces", "read", box, "--secret", "wrong")
    assert refused.code == 1
    assert "ONWARD_BOUNCES_SECRET" in refused.err
    assert [path.name for path in (box / "new").iterdir()] == ["a"]
    assert (await onward("bounces", "read", tmp_path, *SECRET)).code == 1
    assert (await onward("bounces", "read", tmp_path / "nowhere", *SECRET)).code == 1


async def test_an_address_is_suppressed_shown_and_released(onward: Onward, engine: Engine) -> None:
    address = ("email", "jana@example.com")
    assert (await onward("suppressions", "show", *address)).code == 1
    assert "suppressed" in (await onward("suppressions", "add", *address, "--reason", "asked for it")).out
    assert "asked for it" in (await onward("suppressions", "show", *address)).out
    listed = await onward("suppressions", "list")
    assert "asked for it" in listed.out
    assert "jana" not in listed.out
    assert "released" in (await onward("suppressions", "release", *address)).out
    assert "it was not suppressed" in (await onward("suppressions", "release", *address)).out
    assert "No address is suppressed." in (await onward("suppressions", "list")).out
    assert (await onward("suppressions", "add", "fax", "1")).code == 1
