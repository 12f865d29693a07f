"""Bounces and complaints: what a report does, whichever way it comes; once."""

import asyncio
import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select, update
from standardwebhooks.webhooks import Webhook

from runtime import Services
from store import rows
from tests.api.conftest import activate, contact, places, process
from tests.channels.returned import COMPLAINT, GMAIL, OURS, POSTFIX, resend, ses

SECRET = "let-me-in"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LET_IN = {"authorization": f"Bearer {SECRET}"}
SENT_AT = datetime(2026, 11, 24, 9, tzinfo=UTC)
JANA = "22222@example.com"
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a part in."""


@pytest.fixture(autouse=True)
def secrets(away: Services) -> None:
    more = {"bounces_secret": SecretStr(SECRET), "resend_webhook_secret": SecretStr(WEBHOOK_SECRET)}
    away.settings = away.settings.model_copy(update=more)


async def sent(away: Services, person: str, message: str = OURS, **more: Any) -> None:
    """A message on the ledger."""
    values = {
        "id": message, "instance_id": f"welcome/{message}", "step": "hello", "visit": 1, "process_key": "welcome",
        "contact_id": person, "channel": "email", "recipient": JANA, "subject": "Hello", "state": "sent",
        "attempts": 1, "claimed_at": SENT_AT, "closed_at": SENT_AT, **more,
    }  # fmt: skip
    async with away.database.write() as connection:
        await connection.execute(insert(rows.messages).values(values))


async def report(api: httpx.AsyncClient, kind: str = "hard", message: str = OURS, **more: Any) -> Any:
    body = {"message": f"<{message}@shop.example.com>", "kind": kind, **more}
    answer = await api.post("/v1/bounces", json=body, headers=LET_IN)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def row_of(away: Services, table: Any, *where: Any) -> Any:
    async with away.database.read() as connection:
        return (await connection.execute(select(table).where(*where))).one()


async def count(away: Services, table: Any) -> int:
    async with away.database.read() as connection:
        return len((await connection.execute(select(table))).all())


async def subscribed(api: httpx.AsyncClient, person: str, key: str, status: str = "subscribed") -> None:
    await api.put(f"/v1/lists/{key}", json={"name": key})
    answer = await api.put(f"/v1/contacts/{person}/lists/{key}", json={"status": status})
    assert answer.status_code == 200, answer.text


async def lists_of(api: httpx.AsyncClient, person: str) -> dict[str, str]:
    found = (await api.get(f"/v1/contacts/{person}")).json()["lists"]
    return {one["list"]: one["status"] for one in found}


async def everything(api: httpx.AsyncClient, away: Services, person: str) -> Any:
    """All that a report can change."""
    async with away.database.read() as connection:
        tables = (rows.messages, rows.suppressions, rows.subscription_changes, rows.events, rows.instances)
        found = [[tuple(r) for r in await connection.execute(select(table))] for table in tables]
    return found, (await api.get(f"/v1/contacts/{person}")).json()


@pytest.mark.parametrize(("kind", "state"), [("hard", "bounced"), ("complaint", "complained")])
async def test_a_hard_bounce_and_a_complaint_mark_the_contact_and_suppress_the_address(
    api: httpx.AsyncClient, away: Services, kind: str, state: str
) -> None:
    person = await contact(api)
    for key, status in (("news", "subscribed"), ("club", "unconfirmed"), ("left", "unsubscribed")):
        await subscribed(api, person, key, status)
    await sent(away, person)
    code = None if kind == "complaint" else "5.1.1"
    answer = await report(api, kind, status=code, reason=f"550 5.1.1 <{JANA}>: no such user")
    assert answer == {"outcome": "recorded", "message": OURS, "state": state, "suppressed": True}
    message = await row_of(away, rows.messages)
    assert message.state == state
    assert message.detail.endswith("no such user")
    row = await row_of(away, rows.contacts)
    assert (row.email, row.email_state) == (JANA, state)
    assert await lists_of(api, person) == {"news": state, "club": state, "left": "unsubscribed"}
    suppressed = (await api.get(f"/v1/suppressions/email/{JANA}")).json()
    assert suppressed["reason"].startswith(state)
    assert JANA not in str(suppressed)
    before = await everything(api, away, person)
    assert (await report(api, kind))["outcome"] == "repeated"
    assert await everything(api, away, person) == before


async def test_it_is_an_event_that_starts_processes_and_leaving_a_list_stops_them(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    await subscribed(api, person, "news")
    hard = {"type": "event", "event": "message.bounced", "filter": {"event": "permanent", "equals": True}}
    await activate(api, process("clean-up", triggers=[hard]))
    left = {"type": "list_unsubscribed", "list": "news"}
    await activate(api, process("goodbye", triggers=[left]))
    await sent(away, person)
    await sent(away, person, "m" + "1" * 24)
    await report(api, "soft", "m" + "1" * 24, status="4.2.2")
    assert await count(away, rows.instances) == 0
    await report(api, status="5.1.1", reason="no such user")
    async with away.database.read() as connection:
        started = set((await connection.execute(select(rows.instances.c.process_key))).scalars())
    assert started == {"clean-up", "goodbye"}
    event = await row_of(away, rows.events, rows.events.c.id == f"bounced:{OURS}")
    assert event.type == "message.bounced"
    assert event.params == {
        "message": OURS, "process": "welcome", "step": "hello", "channel": "email", "address": JANA,
        "reason": "no such user", "permanent": True, "status": "5.1.1", "cause": "no_mailbox",
    }  # fmt: skip


async def test_a_soft_bounce_marks_the_message_alone(api: httpx.AsyncClient, away: Services) -> None:
    person = await contact(api)
    await subscribed(api, person, "news")
    await sent(away, person)
    answer = await report(api, "soft", status="4.2.2", reason="mailbox full")
    assert answer == {"outcome": "recorded", "message": OURS, "state": "soft_bounced", "suppressed": False}
    assert (await row_of(away, rows.contacts)).email_state == "ok"
    assert await lists_of(api, person) == {"news": "subscribed"}
    assert await count(away, rows.suppressions) == 0
    assert (await row_of(away, rows.messages)).cause == "mailbox_full"
    assert (await report(api, "soft"))["outcome"] == "repeated"
    assert (await report(api, "hard"))["state"] == "bounced"
    assert (await row_of(away, rows.messages)).cause == "no_mailbox"
    assert (await report(api, "soft"))["outcome"] == "repeated"
    assert (await report(api, "complaint"))["state"] == "complained"
    message = await row_of(away, rows.messages)
    assert (message.cause, message.refused_at) == (None, None)
    assert (await row_of(away, rows.contacts)).email_state == "complained"


async def test_what_a_server_has_against_us_is_shown_and_counted_and_never_the_contacts_fault(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    await subscribed(api, person, "news")
    blocked = POSTFIX.replace(
        "550 5.1.1 <jana@example.org>: Recipient address\n    rejected: User unknown",
        "550 5.7.1 the sending IP address is on a blocklist",
    )
    for number in range(7):
        message = f"m{number:024x}"
        await sent(away, person, message)
        answer = await by_mail(api, blocked.replace(OURS, message))
        assert (answer["state"], answer["suppressed"]) == ("sending_refused", False)
    assert (await row_of(away, rows.contacts)).email_state == "ok"
    assert await lists_of(api, person) == {"news": "subscribed"}
    assert await count(away, rows.suppressions) == 0
    metrics = (await api.get("/metrics")).text
    assert 'onward_sending_refused_total{cause="reputation",channel="email"} 7.0' in metrics
    event = await row_of(away, rows.events, rows.events.c.id == f"sending_refused:m{0:024x}")
    assert (event.params["permanent"], event.params["cause"]) == (False, "reputation")
    async with away.database.read() as connection:
        found = (await connection.execute(select(rows.messages.c.cause, rows.messages.c.refused_at))).all()
    assert {row.cause for row in found} == {"reputation"}
    assert all(row.refused_at > SENT_AT for row in found), "when it came back, not when it was sent"


@ON_SQLITE
async def test_a_network_that_fails_for_everybody_makes_no_bounce_a_hard_one(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    expired = POSTFIX.replace("Status: 5.1.1", "Status: 5.4.7").replace(
        "550 5.1.1 <jana@example.org>: Recipient address\n    rejected: User unknown",
        "delivery time expired; connection timed out",
    )
    for number in range(7):
        message = f"m{number:024x}"
        await sent(away, person, message)
        assert (await by_mail(api, expired.replace(OURS, message)))["state"] == "soft_bounced"
    assert (await row_of(away, rows.contacts)).email_state == "ok"


async def test_five_soft_bounces_within_thirty_days_are_a_hard_one(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    ids = [f"m{n:024x}" for n in range(6)]
    for number, message in enumerate(ids):
        # The first is too old to count when the fifth comes.
        days = 0 if number == 0 else 30 + number
        await sent(away, person, message, claimed_at=SENT_AT + timedelta(days=days))
    answers = [await report(api, "soft", message, reason="full") for message in ids]
    assert [answer["state"] for answer in answers] == ["soft_bounced"] * 5 + ["bounced"]
    assert (await row_of(away, rows.contacts)).email_state == "bounced"
    reason = (await api.get(f"/v1/suppressions/email/{JANA}")).json()["reason"]
    assert reason == "bounced 5 soft bounces within 30 days; the last: full"


@ON_SQLITE
async def test_what_the_person_said_is_not_overwritten(api: httpx.AsyncClient, away: Services) -> None:
    person = await contact(api)
    async with away.database.write() as connection:
        await connection.execute(update(rows.contacts).values(email_state="unsubscribed"))
    await sent(away, person)
    assert (await report(api))["suppressed"]
    assert (await row_of(away, rows.contacts)).email_state == "unsubscribed"


async def test_a_contact_that_has_another_address_by_now_keeps_its_good_name(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    await subscribed(api, person, "news")
    await sent(away, person)
    await api.patch(f"/v1/contacts/{person}", json={"email": "new@example.com"})
    assert (await report(api))["suppressed"]
    assert (await row_of(away, rows.contacts)).email_state == "ok"
    assert await lists_of(api, person) == {"news": "subscribed"}
    assert (await api.get(f"/v1/suppressions/email/{JANA}")).status_code == 200
    assert (await api.get("/v1/suppressions/email/new@example.com")).status_code == 404


async def test_the_survivor_of_a_merge_is_marked(api: httpx.AsyncClient, away: Services) -> None:
    gone, survivor = await contact(api, "22222"), await contact(api, "33333", email=None)
    await sent(away, gone)
    merged = await api.post(f"/v1/contacts/{gone}/merge", json={"into": survivor})
    assert merged.status_code == 200, merged.text
    assert (await report(api))["outcome"] == "recorded"
    row = await row_of(away, rows.contacts, rows.contacts.c.id == survivor)
    assert (row.email, row.email_state) == (JANA, "bounced")


async def test_a_message_of_a_deleted_contact_is_marked_and_nothing_else_is_known(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    await sent(away, person)
    assert (await api.delete(f"/v1/contacts/{person}")).status_code in {200, 204}
    answer = await report(api, reason="no such user")
    assert (answer["outcome"], answer["suppressed"]) == ("recorded", False)
    assert await count(away, rows.suppressions) == 0
    assert (await row_of(away, rows.messages)).state == "bounced"


@ON_SQLITE
async def test_a_message_that_never_left_cannot_come_back(api: httpx.AsyncClient, away: Services) -> None:
    person = await contact(api)
    for number, state in enumerate(("skipped", "withdrawn", "retrying", "refused")):
        message = f"m{number:024x}"
        await sent(away, person, message, state=state)
        answer = await report(api, message=message)
        assert (answer["outcome"], answer["state"]) == ("not_sent", state)
    assert (await row_of(away, rows.contacts)).email_state == "ok"


async def test_a_message_that_is_not_ours_is_answered_as_such_and_nothing_is_stored(
    api: httpx.AsyncClient, away: Services
) -> None:
    person = await contact(api)
    await sent(away, person)
    before = await everything(api, away, person)
    nothing = {"outcome": "unknown", "state": None, "suppressed": False}
    assert await report(api, message="m" + "9" * 24) == {**nothing, "message": "m" + "9" * 24}
    assert await report(api, message="20261124.somebody") == {**nothing, "message": None}
    assert await everything(api, away, person) == before


@pytest.mark.each_database
async def test_ten_reports_at_once_are_recorded_once(api: httpx.AsyncClient, away: Services) -> None:
    person = await contact(api)
    await subscribed(api, person, "news")
    await sent(away, person)
    answers = await asyncio.gather(*(report(api) for _ in range(10)))
    outcomes = sorted(answer["outcome"] for answer in answers)
    assert outcomes == ["recorded"] + ["repeated"] * 9
    async with away.database.read() as connection:
        changes = (await connection.execute(select(rows.subscription_changes.c.after))).scalars().all()
    assert changes == ["subscribed", "bounced"]


# The ways in


async def by_mail(api: httpx.AsyncClient, mail: str) -> Any:
    headers = {**LET_IN, "content-type": "message/rfc822"}
    answer = await api.post("/v1/bounces/mail", content=mail.encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


@ON_SQLITE
@pytest.mark.parametrize(
    ("mail", "state"),
    [(POSTFIX, "bounced"), (GMAIL, "soft_bounced"), (COMPLAINT, "complained")],
    ids=["postfix", "gmail", "complaint"],
)
async def test_a_mail_about_our_mail_is_a_report(
    api: httpx.AsyncClient, away: Services, mail: str, state: str
) -> None:
    await sent(away, await contact(api))
    answer = await by_mail(api, mail)
    assert (answer["outcome"], answer["state"]) == ("recorded", state)
    assert (await by_mail(api, mail))["outcome"] == "repeated"


@ON_SQLITE
async def test_other_mail_is_ignored(api: httpx.AsyncClient) -> None:
    nothing = {"outcome": "ignored", "message": None, "state": None, "suppressed": False}
    assert await by_mail(api, "Subject: Out of office\n\nBack on Monday") == nothing
    assert await by_mail(api, "") == nothing


async def by_resend(api: httpx.AsyncClient, event: Mapping[str, Any], secret: str = WEBHOOK_SECRET) -> Any:
    body = orjson.dumps(event)
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, body.decode())
    headers = {"svix-id": "msg_1", "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature}
    return await api.post("/v1/bounces/resend", content=body, headers=headers)


@ON_SQLITE
async def test_resends_webhook_is_let_in_by_its_signature(api: httpx.AsyncClient, away: Services) -> None:
    await sent(away, await contact(api))
    forged = await by_resend(api, resend(), "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert forged.status_code == 401
    assert (await api.post("/v1/bounces/resend", json=resend(), headers=LET_IN)).status_code == 401
    assert (await by_resend(api, resend("email.delivered"))).json()["outcome"] == "ignored"
    answer = (await by_resend(api, resend())).json()
    assert (answer["outcome"], answer["state"]) == ("recorded", "bounced")


@ON_SQLITE
async def test_a_signature_of_another_shape_is_refused(api: httpx.AsyncClient) -> None:
    now = str(int(datetime.now(UTC).timestamp()))
    for signature in ("v1", "v1,", "v1,%%%", "", "v2,abc", "v1,é", "v1,a v1,b"):
        for timestamp in (now, "soon", "-1", "9" * 40, ""):
            signed = {"svix-id": "1", "svix-timestamp": timestamp, "svix-signature": signature}
            headers = {name: value.encode("latin-1") for name, value in signed.items()}
            answer = await api.post("/v1/bounces/resend", json=resend(), headers=headers)  # type: ignore[arg-type]
            assert answer.status_code == 401, (signature, timestamp)


@ON_SQLITE
async def test_ses_comes_in_an_envelope_of_sns_or_without(api: httpx.AsyncClient, away: Services) -> None:
    await sent(away, await contact(api))
    await sent(away, (await row_of(away, rows.contacts)).id, "m" + "1" * 24)
    bounce = {"bounceType": "Permanent", "bouncedRecipients": [{"status": "5.1.1", "diagnosticCode": "no"}]}
    envelope = {"Type": "Notification", "Message": orjson.dumps(ses(bounce=bounce)).decode()}
    headers = {
        "authorization": "Basic " + base64.b64encode(f"onward:{SECRET}".encode()).decode(),
        "content-type": "text/plain; charset=UTF-8",
    }
    answer = await api.post("/v1/bounces/ses", content=orjson.dumps(envelope), headers=headers)
    assert (answer.json()["outcome"], answer.json()["state"]) == ("recorded", "bounced")
    complaint = ses("Complaint", complaint={"complaintFeedbackType": "abuse"})
    raw = orjson.dumps(complaint).replace(OURS.encode(), b"m" + b"1" * 24)
    answer = await api.post("/v1/bounces/ses", content=raw, headers=headers)
    assert answer.json()["state"] == "complained"
    asks = {
        "Type": "SubscriptionConfirmation",
        "SubscribeURL": "https://sns.example/confirm",
        "Message": "You",
    }
    answer = await api.post("/v1/bounces/ses", content=orjson.dumps(asks), headers=headers)
    assert answer.json()["outcome"] == "ignored"


@ON_SQLITE
async def test_without_the_secret_nothing_is_let_in(api: httpx.AsyncClient, away: Services) -> None:
    await sent(away, await contact(api))
    basic = [base64.b64encode(text.encode()).decode() for text in (SECRET, f"{SECRET}:wrong", "a:b:c")]
    wrong = ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Token {SECRET}", "Basic %%%"]
    for place in ("", "/mail", "/ses"):
        for header in (None, *wrong, *(f"Basic {text}" for text in basic)):
            headers = {} if header is None else {"authorization": header}
            body = {"message": OURS, "kind": "hard"}
            answer = await api.post(f"/v1/bounces{place}", json=body, headers=headers)
            assert answer.status_code == 401, (place, header)
            assert "Basic" in answer.headers["www-authenticate"]
    assert (await row_of(away, rows.messages)).state == "sent"


@ON_SQLITE
async def test_without_a_setting_nothing_is_let_in(api: httpx.AsyncClient, away: Services) -> None:
    for unset in (None, SecretStr("")):
        more = {"bounces_secret": unset, "resend_webhook_secret": unset}
        away.settings = away.settings.model_copy(update=more)
        for header in ("Bearer ", "Bearer", ""):
            body = {"message": OURS, "kind": "hard"}
            answer = await api.post("/v1/bounces", json=body, headers={"authorization": header})
            assert answer.status_code == 401
            assert "ONWARD_BOUNCES_SECRET" in answer.json()["detail"]
        assert "ONWARD_RESEND_WEBHOOK_SECRET" in (await by_resend(api, resend())).json()["detail"]


@ON_SQLITE
async def test_what_is_wrong_with_a_report_is_named(api: httpx.AsyncClient) -> None:
    good = {"message": OURS, "kind": "hard"}
    for place, body in {
        "/message": {"kind": "hard"},
        "/kind": {**good, "kind": "medium"},
        "/status": {**good, "status": "bad"},
        "/address": {**good, "address": JANA},
        "/reason": {**good, "reason": "x" * 501},
    }.items():
        answer = await api.post("/v1/bounces", json=body, headers=LET_IN)
        assert answer.status_code == 422
        assert places(answer) == [place]


@ON_SQLITE
async def test_a_webhook_that_is_no_object_is_refused(api: httpx.AsyncClient) -> None:
    for body in (b"", b"[]", b"no", b"7", b"{", b'{"Type": "Notification", "Message": "no"}'):
        answer = await api.post("/v1/bounces/ses", content=body, headers=LET_IN)
        assert answer.status_code == 400, body
