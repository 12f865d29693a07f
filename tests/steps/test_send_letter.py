"""send_letter: the contact's page with the contact's address, printed once, by a folder or a provider."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pypdf import PdfReader

from runtime import connect_services
from settings import Settings
from store.consents import set_consent
from tests.support.engine import Engine
from tests.support.http_server import Reply
from tests.support.letter_server import LetterServer
from tests.support.people import change_contact, meet, messages, release
from tests.support.sending import (
    claimed_by_a_worker_that_died,
    is_held_by_a_pause_and_sent_once_after_it,
    is_not_sent_to_a_deleted_contact,
    is_recorded_as_sent_where_a_stop_comes_in_the_middle,
)
from tests.support.validating import problems_of_step
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited

LETTER: dict[str, Any] = {
    "id": "letter",
    "type": "send_letter",
    "text": "Milá paní {{ contact.name }},\nčau!",
}
PAGE: dict[str, Any] = {"id": "page", "type": "send_letter", "template": "page"}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}
JANA: dict[str, Any] = {
    "name": "Žofie Příšerná",
    "street": "Náměstí Míru 12",
    "postal_code": 11000,
    "city": "Praha",
    "country": "CZ",
}
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not lie with the database."""


@pytest.fixture
async def server() -> AsyncIterator[LetterServer]:
    async with LetterServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, server: LetterServer) -> Settings:
    changed = {
        "letter_url": f"{server.url}/letters",
        "letter_token": SecretStr(LetterServer.TOKEN),
        "letter_sender": "Obchod · Dlouhá 1 · Praha",
        "letter_country": "CZ",
        "provider_timeout": 5,
    }
    return settings.model_copy(update=changed)


@pytest.fixture
async def by_folder(settings: Settings, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine whose letters go to a folder."""
    folder = tmp_path / "letters"
    folder.mkdir()
    changed = settings.model_copy(update={"letter_url": None, "letter_folder": folder})
    services = await connect_services(changed, lazy=False)
    try:
        async with Engine.running(services) as engine:
            yield engine
    finally:
        await services.close()


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """The folder of `by_folder`."""
    return tmp_path / "letters"


def read(pdf: bytes) -> list[str]:
    """The lines of a letter."""
    lines: list[str] = []
    for page in PdfReader(BytesIO(pdf)).pages:
        lines += page.extract_text().splitlines()
    return lines


def files(folder: Path) -> dict[str, bytes]:
    """What is in the folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def move(folder: Path, name: str) -> None:
    """Give a folder another name."""
    folder.rename(folder.with_name(name))


async def test_a_text_is_printed_with_sender_address_and_date(engine: Engine, server: LetterServer) -> None:
    instance = await pass_through(engine, LETTER, contact_extra={"fields": JANA})
    (message,) = await messages(engine, instance)
    (letter,) = server.taken
    day = (await visited(engine, instance, "letter")).at.date().isoformat()
    assert read(letter["pdf"]) == [
        "Obchod · Dlouhá 1 · Praha",
        "Žofie Příšerná",
        "Náměstí Míru 12",
        "11000 Praha",
        day,
        "Milá paní Žofie Příšerná,",
        "čau!",
    ]
    assert letter["id"] == message.id
    assert (message.channel, message.state) == ("letter", "sent")
    assert message.recipient == "Žofie Příšerná, Náměstí Míru 12, 11000 Praha"
    assert (await visited(engine, instance, "letter")).result == {
        "message": message.id,
        "state": "sent",
        "status": 202,
        "provider_id": "letter-1",
    }


async def test_a_template_is_a_whole_file_in_the_folder_named_by_the_message(
    by_folder: Engine, printed: Path
) -> None:
    await by_folder.template(
        "page", "Objednávka {{ event.params.n }}", "<p>Čaj &amp; <b>{{ contact.city }}</b></p>"
    )
    abroad = {**JANA, "country": "DE", "city": "München"}
    instance = await pass_through(by_folder, PAGE, contact_extra={"fields": abroad}, params={"n": 7})
    (message,) = await messages(by_folder, instance)
    ((name, pdf),) = files(printed).items()
    assert name == f"{message.id}.pdf"
    lines = read(pdf)
    assert lines[3:5] == ["11000 München", "GERMANY"]
    assert lines[-2:] == ["Objednávka 7", "Čaj & München"]
    assert (await visited(by_folder, instance, "page")).result["file"] == name
    assert message.subject == "Objednávka 7"


@ON_SQLITE
async def test_of_an_mjml_template_the_text_is_printed(engine: Engine, server: LetterServer) -> None:
    body = "<mj-column><mj-text>Ahoj <b>světe</b></mj-text></mj-column>"
    await engine.template(
        "page", "S", mjml=f"<mjml><mj-body><mj-section>{body}</mj-section></mj-body></mjml>"
    )
    await pass_through(engine, PAGE, contact_extra={"fields": JANA})
    assert read(server.taken[0]["pdf"])[-1] == "Ahoj světe"


async def test_a_letter_of_a_worker_that_died_is_the_same_file(by_folder: Engine, printed: Path) -> None:
    await meet(by_folder, fields=JANA)
    own_id = await claimed_by_a_worker_that_died(by_folder, LETTER, "letter")
    (printed / f"{own_id}.pdf").write_bytes(b"of the worker that died")
    instance = await pass_through(by_folder, LETTER)
    ((name, pdf),) = files(printed).items()
    assert name == f"{own_id}.pdf"
    assert read(pdf)[-1] == "čau!"
    assert [m.state for m in await messages(by_folder, instance)] == ["sent"]


async def test_a_line_cut_after_the_provider_took_it_is_posted_again_and_printed_once(
    engine: Engine, server: LetterServer
) -> None:
    server.cuts = 1
    instance = await pass_through(engine, LETTER, contact_extra={"fields": JANA})
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    assert len(server.taken) == 1
    assert [m.state for m in await messages(engine, instance)] == ["sent"]


@ON_SQLITE
async def test_it_is_tried_again_no_sooner_than_the_provider_says(
    engine: Engine, server: LetterServer
) -> None:
    server.replies = [Reply("429 Too Many Requests", {"retry-after": "2"})]
    await pass_through(engine, LETTER, contact_extra={"fields": JANA})
    first, second = server.requests
    assert second.at - first.at >= 2
    assert len(server.taken) == 1


@ON_SQLITE
async def test_a_letter_that_the_provider_refuses_is_recorded_and_the_contact_goes_on(
    engine: Engine, server: LetterServer
) -> None:
    server.replies = [Reply("422 Unprocessable Content", body=b"no such place")]
    instance = await pass_through(engine, LETTER, TAG, contact_extra={"fields": JANA})
    (message,) = await messages(engine, instance)
    assert (message.state, server.taken) == ("refused", [])
    assert "422 Unprocessable Content no such place" in message.detail
    assert (await visited(engine, instance, "tag")).result["added"]


@ON_SQLITE
async def test_a_folder_that_is_gone_holds_until_it_is_back(by_folder: Engine, printed: Path) -> None:
    move(printed, "away")
    instance = await send_through(by_folder, LETTER, contact_extra={"fields": JANA})
    row = await by_folder.in_state(instance, "holding")
    assert row.reason == "failed: the folder for letters: No such file or directory"
    move(printed.with_name("away"), printed.name)
    await release(by_folder, instance)
    await at_rest(by_folder, instance)
    assert len(files(printed)) == 1


async def test_who_has_no_address_or_wants_no_letters_is_skipped_with_the_reason_and_goes_on(
    engine: Engine, server: LetterServer
) -> None:
    person = await meet(engine, fields={"name": "Žofie", "city": "Praha"})
    homeless = await pass_through(engine, LETTER, TAG, process="first")
    await change_contact(engine, fields={**JANA, "name": "王秀英"})
    unprintable = await pass_through(engine, LETTER, process="second")
    async with engine.services.database.write() as connection:
        now = datetime.now(UTC)
        await set_consent(connection, person.id, "letter", granted=False, now=now, source="a test")
    unwanted = await pass_through(engine, LETTER, process="third")
    details = [(await messages(engine, i))[0].detail for i in (homeless, unprintable, unwanted)]
    assert details == [
        "the contact has no postal address: street, postal_code, country missing",
        "the letter's font has no «王秀英»",
        "the contact wants no marketing by letter",
    ]
    assert (await visited(engine, homeless, "tag")).result["added"]
    assert server.requests == []


@ON_SQLITE
async def test_a_page_with_nothing_on_it_holds_until_it_is_mended(
    engine: Engine, server: LetterServer
) -> None:
    await engine.template("page", "S", "<img src='https://shop.example.com/logo.png'>")
    instance = await send_through(engine, PAGE, contact_extra={"fields": JANA})
    row = await engine.in_state(instance, "holding")
    assert row.reason == "failed: The template failed in its html: the letter has nothing to read"
    await engine.template("page", "S", "<p>Something</p>")
    await release(engine, instance)
    await at_rest(engine, instance)
    assert len(server.taken) == 1


async def test_a_repeated_activity_prints_once(engine: Engine, server: LetterServer) -> None:
    instance = await pass_through(engine, LETTER, contact_extra={"fields": JANA})
    await repeat_answers_the_same(engine, instance, "letter")
    assert len(server.requests) == 1


async def test_it_is_held_by_a_pause_and_sent_once_after_it(engine: Engine, server: LetterServer) -> None:
    await is_held_by_a_pause_and_sent_once_after_it(engine, LETTER, server, contact_extra={"fields": JANA})


async def test_it_is_not_sent_to_a_contact_deleted_before_it(engine: Engine, server: LetterServer) -> None:
    await is_not_sent_to_a_deleted_contact(engine, LETTER, server, contact_extra={"fields": JANA})


async def test_it_is_recorded_as_sent_where_a_stop_comes_in_the_middle(
    engine: Engine, server: LetterServer
) -> None:
    await is_recorded_as_sent_where_a_stop_comes_in_the_middle(
        engine, LETTER, server, contact_extra={"fields": JANA}
    )


@ON_SQLITE
async def test_without_a_way_out_it_holds_and_names_the_setting(settings: Settings) -> None:
    services = await connect_services(settings.model_copy(update={"letter_url": None}), lazy=False)
    try:
        async with Engine.running(services) as engine:
            instance = await send_through(engine, LETTER)
            row = await engine.in_state(instance, "holding")
            assert row.reason == "failed: the channel «letter» is not configured: set ONWARD_LETTER_FOLDER"
    finally:
        await services.close()


@pytest.mark.parametrize(
    ("more", "pointer", "message"),
    [
        ({"template": "page"}, "/steps/0", "give one of «template» and «text»"),
        ({"text": None}, "/steps/0", "give one of «template» and «text»"),
        ({"text": ""}, "/steps/0/text", "at least 1 character"),
        ({"window": {"from": "09:00"}}, "/steps/0/window", "unknown field"),
    ],
)
def test_a_wrong_field_is_named(more: dict[str, Any], pointer: str, message: str) -> None:
    (problem,) = problems_of_step({**LETTER, **more})
    assert problem.pointer == pointer
    assert message in problem.message


def test_a_channel_without_its_setting_and_a_template_that_is_not_there_keep_it_from_being_published() -> (
    None
):
    found = problems_of_step(PAGE, channels={"letter": "ONWARD_LETTER_SENDER"})
    assert [(problem.pointer, problem.message) for problem in found] == [
        ("/steps/0/template", "there is no template «page»"),
        ("/steps/0/type", "the channel «letter» is not configured: set ONWARD_LETTER_SENDER"),
    ]


def test_letters_go_one_way(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="letters go one way, set one of them"):
        Settings(letter_folder=tmp_path, letter_url="https://letters.example.com", _env_file=None)
