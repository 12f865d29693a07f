"""The same journey as a hand-written Temporal workflow: three e-mails and two tags, no waits.

What a Temporal engineer would write for this one journey, with the same libraries, database and SMTP server: no
ledger, no guard, no definition. It has the same search attributes and summaries, so that histories compare.
"""

import asyncio
import signal
import sys
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from sqlalchemy import insert, select

    from channels.email import compose
    from channels.templates import TemplateSource, render
    from runtime import Services, connect_services
    from settings import Settings
    from store import contacts, rows

TASK_QUEUE = "handwritten"
RETRIES = RetryPolicy(maximum_interval=timedelta(minutes=10))


class Send(BaseModel):
    """Which template to whom."""

    contact: str
    template: str


class Tag(BaseModel):
    """Which tag on whom."""

    contact: str
    tag: str


@workflow.defn(name="HandWritten")
class HandWritten:
    """Five effects in a row."""

    @workflow.run
    async def run(self, contact: str) -> None:
        """Send, tag, send, tag, send."""
        await self._send(contact, "one")
        await self._tag(contact, "first")
        await self._send(contact, "two")
        await self._tag(contact, "second")
        await self._send(contact, "three")

    async def _send(self, contact: str, template: str) -> None:
        await workflow.execute_activity_method(
            Effects.send_email,
            Send(contact=contact, template=template),
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=RETRIES,
            summary=f"template {template} · step {template}",
        )

    async def _tag(self, contact: str, tag: str) -> None:
        await workflow.execute_activity_method(
            Effects.add_tag,
            Tag(contact=contact, tag=tag),
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=RETRIES,
            summary=f"{tag} · step {tag}",
        )


class Effects:
    """The two effects, each with its record."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def send_email(self, send: Send) -> None:
        """Load, render, send, record."""
        c, t = rows.contacts.c, rows.templates.c
        async with self._services.database.read() as connection:
            contact = (
                await connection.execute(
                    select(c.id, c.email, c.fields, c.language).where(c.external_id == send.contact)
                )
            ).one()
            template = (
                await connection.execute(select(t.subject, t.html).where(t.key == send.template))
            ).one()
        context = {"contact": {**contact.fields, "email": contact.email, "id": send.contact}}
        rendered = render(TemplateSource(subject=template.subject, html=template.html), context)
        message_id = f"{activity.info().workflow_id}-{activity.info().activity_id}".replace("/", "-")
        token = self._services.links.sign_unsubscribe(contact.id, None, message_id)
        content = compose(
            message_id=f"{message_id}@localhost",
            sender=self._services.settings.mail_from,
            recipient=contact.email,
            reply_to=None,
            rendered=rendered,
            unsubscribe_url=f"http://127.0.0.1/t/unsubscribe/{token}",
            unsubscribe_mailto=None,
            date=datetime.now(UTC),
            headers={},
        )

        async def claim() -> bool:
            return True

        await self._services.smtp.deliver(
            content, sender=self._services.settings.mail_from, recipient=contact.email, claim=claim
        )
        now = datetime.now(UTC)
        async with self._services.database.write() as connection:
            await connection.execute(
                insert(rows.messages).values(
                    id=message_id,
                    instance_id=activity.info().workflow_id,
                    step=send.template,
                    visit=1,
                    process_key="handwritten",
                    contact_id=contact.id,
                    channel="email",
                    recipient=contact.email,
                    subject=rendered.subject,
                    state="sent",
                    attempts=1,
                    claimed_at=now,
                    closed_at=now,
                )
            )

    @activity.defn
    async def add_tag(self, tag: Tag) -> None:
        """One statement."""
        async with self._services.database.write() as connection:
            c = rows.contacts.c
            contact_id = (
                await connection.execute(select(c.id).where(c.external_id == tag.contact))
            ).scalar_one()
            await contacts.add_tag(connection, contact_id, tag.tag, datetime.now(UTC), "handwritten")


async def main() -> None:
    """A worker for it, until SIGTERM."""
    settings = Settings()
    services = await connect_services(settings, lazy=False)
    effects = Effects(services)
    worker = Worker(
        services.client,
        task_queue=TASK_QUEUE,
        workflows=[HandWritten],
        activities=[effects.send_email, effects.add_tag],
        max_concurrent_activities=settings.worker_max_activities,
        max_concurrent_workflow_tasks=settings.worker_max_workflow_tasks,
        max_cached_workflows=settings.worker_cached_workflows,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with worker:
        await stop.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
