"""Send a push notification (S2)."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson

from activities.base import require
from activities.delivery import Claim, Outgoing, Skip, message_id
from activities.limits import tried_at
from activities.messages import SHOWN_TEXT, MessageStep
from activities.recording import as_soon_as_it_can
from activities.scene import Scene
from channels import contents
from channels.errors import (
    DeliveryError,
    MessageRefused,
    RecipientRefused,
    SenderRefused,
    TryLater,
    Withdrawn,
)
from channels.protocol import Channel
from channels.push import Browser, Notification
from processes.clock import add
from processes.steps.send_push import SendPush
from store import endpoints

SENT, GONE, REFUSED, LATE, UNWANTED = "sent", "gone", "refused", "late", "unwanted"
"""What became of a browser: the push service has it; the subscription is no more; it was refused; the push service
could not be reached while the notification was worth something; the contact wanted none any more.
"""
MOST_BROWSERS = 20
"""Of a contact: the newest. A person has fewer; whoever has more wants us to call others."""
SO_FAR = "browsers_so_far"
"""In the result of a visit that goes on: what became of which browser. A retry leaves those out."""


@dataclass(frozen=True)
class Told:
    """What became of a try to reach one browser. `error` is None where the push service has the notification."""

    address: str
    error: DeliveryError | None

    @property
    def outcome(self) -> str | None:
        """None where it is not known yet: to be tried again, or for a person to mend."""
        match self.error:
            case None:
                return SENT
            case RecipientRefused(mailbox_is_bad=True):
                return GONE
            case RecipientRefused() | MessageRefused():
                return REFUSED
        return None


@dataclass(frozen=True, kw_only=True)
class Push(Outgoing):
    """A notification on its way to the browsers that do not have it yet."""

    scene: Scene
    ttl: int
    """Seconds that are left of its time; none or less is too late."""
    browsers: Sequence[Browser]
    so_far: dict[str, str]


class SendPushActivity(MessageStep[SendPush]):
    """Tells every browser of the contact, each once.

    What became of each is written down before a retry, which leaves out those that are done. Where a worker dies
    before that, a browser is told again under the same topic and tag, and shows one notification.
    """

    model: ClassVar[type[SendPush]] = SendPush
    channel: ClassVar[str] = "push"

    def way_out(self) -> Channel[Notification] | None:
        """Web push."""
        return self.tools.push

    def takes_the_risk(self, step: SendPush) -> bool:
        """There is none: a browser shows one notification of a tag."""
        return False

    async def prepare(self, step: SendPush, scene: Scene) -> Outgoing | Skip:
        """Why it must not go, or the notification and whom it is for."""
        require(self.tools, self.channel, self.way_out())
        so_far = dict((scene.row.visit_result or {}).get(SO_FAR, {}))
        async with self.tools.database.read() as connection:
            found = await endpoints.of_contact(connection, scene.contact_id, self.channel, endpoints.OK)
        newest = found[:MOST_BROWSERS]
        browsers = [_browser(row) for row in newest if _mark(row.address) not in so_far]
        if not browsers and not so_far:
            return Skip("the contact has allowed push in no browser")
        reason = await self.unwanted(scene)
        if reason is not None and not so_far:
            return Skip(reason)
        if reason is not None:
            so_far |= {_mark(browser.endpoint): UNWANTED for browser in browsers}
            browsers = []
        try:
            said = await contents.push(step, scene.context())
        except contents.NothingToSend as nothing:
            return Skip(str(nothing))
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        content = {
            "title": said.title,
            "body": said.body,
            "url": said.url,
            "icon": None if step.icon is None else str(step.icon),
            "tag": own_id,
        }
        payload = orjson.dumps({name: value for name, value in content.items() if value})
        until = add(scene.now, step.ttl, scene.situation.zone)
        return Push(
            id=own_id,
            recipient=f"{len(browsers) + len(so_far)} browsers",
            subject=said.title[:SHOWN_TEXT],
            content=payload,
            scene=scene,
            ttl=int((until - tried_at(scene)).total_seconds()),
            browsers=browsers,
            so_far=so_far,
        )

    async def hand_over(self, step: SendPush, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """All browsers at once. Raises MessageRefused where none of them takes it, TryLater where one is to be tried
        again, SenderRefused where no push service takes our key.
        """
        if not isinstance(outgoing, Push):
            raise TypeError(f"{type(outgoing).__name__} is no push notification")
        if outgoing.browsers and not await claim():
            raise Withdrawn
        told = await asyncio.gather(*(self._tell(outgoing, browser) for browser in outgoing.browsers))
        done = outgoing.so_far | {_mark(one.address): one.outcome for one in told if one.outcome is not None}
        later = [one for one in told if isinstance(one.error, TryLater)]
        ours = [one for one in told if isinstance(one.error, SenderRefused)]
        if outgoing.ttl <= 0:
            done |= {_mark(one.address): LATE for one in later}
            later = []
        to_mend = bool(ours) and SENT not in done.values() and not later
        if not later and not to_mend:
            done |= {_mark(one.address): REFUSED for one in ours}
        await self._write_down(outgoing.scene, done if later or to_mend else {}, told)
        if later:
            raise _try_later(later, outgoing.ttl)
        if to_mend:
            raise SenderRefused(str(ours[0].error))
        counts = dict(sorted(Counter(done.values()).items()))
        if SENT not in counts:
            raise MessageRefused(410, _words(counts, told))
        return {"title": outgoing.subject, "browsers": counts}

    async def _tell(self, push: Push, browser: Browser) -> Told:
        channel = require(self.tools, self.channel, self.way_out())
        notification = Notification(browser, push.content, max(push.ttl, 0), push.id, datetime.now(UTC))
        try:
            await channel.deliver(notification, _claimed)
        except DeliveryError as error:
            return Told(browser.endpoint, error)
        return Told(browser.endpoint, None)

    async def _write_down(self, scene: Scene, so_far: dict[str, str], told: Sequence[Told]) -> None:
        """Which subscriptions are no more; and, for a visit that goes on, what became of which browser."""
        gone = [one for one in told if one.outcome == GONE]
        if not gone and not so_far:
            return

        async def write() -> None:
            async with self.tools.database.write() as connection:
                for one in gone:
                    await endpoints.mark_gone(
                        connection, scene.contact_id, self.channel, one.address, str(one.error)
                    )
                if so_far:
                    await self.tools.stage.note(connection, scene, {SO_FAR: so_far})

        await as_soon_as_it_can(write)


async def _claimed() -> bool:
    """The message was claimed once for all its browsers."""
    return True


def _browser(row: Any) -> Browser:
    """A push subscription as it is kept. What is not there fails in the encryption, as what is wrong does."""
    keys = (row.details or {}).get("keys") or {}
    return Browser(row.address, str(keys.get("p256dh", "")), str(keys.get("auth", "")))


def _mark(address: str) -> str:
    """What stands for a browser in a visit's result: whoever has its address can send to it."""
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def _try_later(told: Sequence[Told], ttl: int) -> TryLater:
    """When to try again: as late as one of them asks, but while the notification is worth something."""
    waits = [one.error.retry_after or 0.0 for one in told if isinstance(one.error, TryLater)]
    words = "; ".join(sorted({str(one.error) for one in told}))
    return TryLater(words[:500], min(max(waits), float(ttl)) or None)


def _words(counts: dict[str, int], told: Sequence[Told]) -> str:
    """Why no browser took it."""
    numbers = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    reasons = "; ".join(sorted({str(one.error) for one in told if one.error is not None}))
    return f"no browser took it ({numbers}) {reasons}".strip()[:500]
