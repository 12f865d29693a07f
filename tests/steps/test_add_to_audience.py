"""add_to_audience: the contact is put into a Custom Audience by hashes, and however often, it is in it once."""

import hashlib
from typing import Any

from runtime import connect_services
from settings import Settings
from tests.support.audience_server import AudienceServer
from tests.support.audience_step import ON_SQLITE, AudienceStep
from tests.support.engine import Engine
from tests.support.people import change_contact, meet, messages, release, subscribe
from tests.support.provider_server import GraphServer
from tests.support.sending import claimed_by_a_worker_that_died
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited

ADD: dict[str, Any] = {"id": "add", "type": "add_to_audience", "audience": AudienceServer.AUDIENCE}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class TestAdd(AudienceStep):
    STEP = ADD

    async def test_the_contact_is_in_the_audience_by_the_hashes_of_what_is_known(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        fields = {
            "first_name": "Žofie",
            "last_name": "O'Hara",
            "city": "České Budějovice",
            "postal_code": 37001,
            "country": "CZ",
        }
        number = f"4206{engine.contact.zfill(10)[-8:]}"
        instance = await pass_through(engine, ADD, contact_extra={"fields": fields, "phone": f"+{number}"})
        assert server.members[server.AUDIENCE] == {
            sha256(engine.address): {
                "EMAIL": sha256(engine.address),
                "PHONE": sha256(number),
                "FN": sha256("žofie"),
                "LN": sha256("ohara"),
                "CT": sha256("ceskebudejovice"),
                "ZIP": sha256("37001"),
                "COUNTRY": sha256("cz"),
            }
        }
        (message,) = await messages(engine, instance)
        assert (message.channel, message.state, message.recipient) == ("audience", "sent", server.AUDIENCE)
        assert (await visited(engine, instance, "add")).result == {
            "message": message.id,
            "state": "sent",
            "received": 1,
        }

    @ON_SQLITE
    async def test_it_is_tried_again_when_meta_lets_calls_through_again(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        server.replies = [GraphServer.error(400, 80003, None, "too many calls", retry_after="2")]
        await pass_through(engine, ADD)
        first, second = server.requests
        assert second.at - first.at >= 2
        assert len(server.members[server.AUDIENCE]) == 1

    @ON_SQLITE
    async def test_an_audience_that_is_not_there_is_refused_and_the_contact_goes_on(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        instance = await pass_through(engine, {**ADD, "audience": "7"}, TAG)
        (message,) = await messages(engine, instance)
        assert message.state == "refused"
        assert "Object does not exist" in message.detail
        assert (await visited(engine, instance, "tag")).result["added"]

    async def test_a_token_that_is_not_taken_holds_until_a_release(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        server.replies = [GraphServer.error(401, 190, 463, "Session has expired")]
        instance = await send_through(engine, ADD)
        row = await engine.in_state(instance, "holding")
        assert row.reason == "failed: Meta: (190/463) Session has expired"
        await release(engine, instance)
        await at_rest(engine, instance)
        assert len(server.taken) == 1

    async def test_after_a_worker_that_died_and_a_line_that_was_cut_it_is_in_once(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await meet(engine)
        await claimed_by_a_worker_that_died(engine, ADD, "audience")
        server.cuts = 1
        instance = await pass_through(engine, ADD)
        assert (len(server.taken), len(server.members[server.AUDIENCE])) == (2, 1)
        assert [m.state for m in await messages(engine, instance)] == ["sent"]
        await repeat_answers_the_same(engine, instance, "add")
        assert len(server.taken) == 2

    async def test_who_cannot_be_known_or_wants_no_marketing_is_skipped_with_the_reason_and_goes_on(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await engine.make_list("news")
        await meet(engine)
        await subscribe(engine, "news")
        leave = {"id": "leave", "type": "unsubscribe", "list": "news"}
        left = await pass_through(engine, leave, ADD, process="first", list="news")
        await change_contact(engine, email_state="unsubscribed")
        unwanted = await pass_through(engine, ADD, TAG, process="second")
        refused = {"audience": {"granted": False, "at": "2026-11-22T00:00:00+00:00", "source": "api"}}
        await change_contact(engine, email_state="ok", consent=refused)
        opted_out = await pass_through(engine, ADD, process="third")
        found = [(await messages(engine, instance))[0] for instance in (left, unwanted, opted_out)]
        assert [(message.state, message.detail) for message in found] == [
            ("skipped", "not subscribed to the list news"),
            ("skipped", "the contact wants no marketing"),
            ("skipped", "the contact wants no marketing by audience"),
        ]
        assert (await visited(engine, unwanted, "tag")).result["added"]
        assert server.requests == []
        await pass_through(engine, ADD, process="fourth", purpose="transactional")
        assert len(server.taken) == 1

    @ON_SQLITE
    async def test_without_a_token_it_holds_and_names_the_setting(self, settings: Settings) -> None:
        services = await connect_services(settings.model_copy(update={"meta_ads_token": None}), lazy=False)
        try:
            async with Engine.running(services) as engine:
                instance = await send_through(engine, ADD)
                row = await engine.in_state(instance, "holding")
                assert (
                    row.reason
                    == "failed: the channel «audience» is not configured: set ONWARD_META_ADS_TOKEN"
                )
        finally:
            await services.close()
