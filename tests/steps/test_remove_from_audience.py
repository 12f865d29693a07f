"""remove_from_audience: the contact is taken out of a Custom Audience, whatever it wants, and however often."""

from typing import Any

from tests.support.audience_server import AudienceServer
from tests.support.audience_step import ON_SQLITE, AudienceStep
from tests.support.engine import Engine
from tests.support.people import change_contact, meet, messages, release
from tests.support.provider_server import GraphServer
from tests.support.sending import claimed_by_a_worker_that_died
from tests.support.visits import at_rest, pass_through, repeat_answers_the_same, send_through, visited

ADD: dict[str, Any] = {"id": "add", "type": "add_to_audience", "audience": AudienceServer.AUDIENCE}
REMOVE: dict[str, Any] = {"id": "remove", "type": "remove_from_audience", "audience": AudienceServer.AUDIENCE}
TAG = {"id": "tag", "type": "add_tag", "tag": "went-on"}


class TestRemove(AudienceStep):
    STEP = REMOVE

    async def test_who_was_put_in_is_taken_out_even_who_wants_nothing_any_more(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await pass_through(engine, ADD, process="first")
        assert len(server.members[server.AUDIENCE]) == 1
        await change_contact(engine, email_state="unsubscribed")
        instance = await pass_through(engine, REMOVE, process="second")
        assert server.members[server.AUDIENCE] == {}
        (message,) = await messages(engine, instance)
        assert (message.channel, message.state, message.recipient) == ("audience", "sent", server.AUDIENCE)
        assert (await visited(engine, instance, "remove")).result == {
            "message": message.id,
            "state": "sent",
            "received": 1,
        }

    @ON_SQLITE
    async def test_a_rate_limit_and_a_cut_line_are_tried_again_and_a_repeat_does_nothing(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await meet(engine)
        await claimed_by_a_worker_that_died(engine, REMOVE, "audience")
        server.replies = [GraphServer.error(400, 613, None, "calls to this api have exceeded the rate limit")]
        server.cuts = 1
        instance = await pass_through(engine, REMOVE)
        assert [m.state for m in await messages(engine, instance)] == ["sent"]
        calls = len(server.requests)
        await repeat_answers_the_same(engine, instance, "remove")
        assert len(server.requests) == calls == 2

    @ON_SQLITE
    async def test_an_audience_that_is_not_there_is_refused_and_the_contact_goes_on(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        instance = await pass_through(engine, {**REMOVE, "audience": "7"}, TAG)
        assert [m.state for m in await messages(engine, instance)] == ["refused"]
        assert (await visited(engine, instance, "tag")).result["added"]

    @ON_SQLITE
    async def test_a_missing_permission_holds_until_a_release(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        server.replies = [GraphServer.error(403, 200, None, "Permissions error")]
        instance = await send_through(engine, REMOVE)
        row = await engine.in_state(instance, "holding")
        assert row.reason == "failed: Meta: (200) Permissions error"
        await release(engine, instance)
        await at_rest(engine, instance)
        assert len(server.taken) == 1

    @ON_SQLITE
    async def test_who_has_neither_address_nor_number_is_skipped_with_the_reason(
        self, engine: Engine, server: AudienceServer
    ) -> None:
        await meet(engine)
        await change_contact(engine, email=None)
        instance = await pass_through(engine, REMOVE, contact_extra={"email": None})
        (message,) = await messages(engine, instance)
        assert (message.state, message.detail) == (
            "skipped",
            "the contact has neither an e-mail address nor a phone number",
        )
        assert server.requests == []
