"""Send an e-mail (S1)."""

from datetime import timedelta
from typing import Any, ClassVar

from sqlalchemy import select

from activities.base import require
from activities.delivery import Claim, DeliveryStep, Outgoing, Skip, message_id
from activities.limits import tried_at
from activities.scene import Scene
from channels import contents
from channels.links import Sent
from channels.mail import Draft, Mail
from channels.message_links import MessageLinks
from processes.obstacles import TRANSACTIONAL, no_mail
from processes.steps.send_email import SendEmail
from store import rows


class SendEmailActivity(DeliveryStep[SendEmail]):
    """Renders the template for the contact and hands it to the mail channel, once."""

    model: ClassVar[type[SendEmail]] = SendEmail
    channel: ClassVar[str] = "email"

    def repeatable(self, step: SendEmail) -> bool:
        """Where the provider drops second copies, which SMTP servers do not, or the step takes the risk."""
        return step.if_unknown == "resend" or self.tools.mailer.remembers != timedelta(0)

    def remembered(self, step: SendEmail) -> timedelta | None:
        """As long as the provider does; with the risk taken, for ever."""
        return None if step.if_unknown == "resend" else self.tools.mailer.remembers

    async def prepare(self, step: SendEmail, scene: Scene) -> Outgoing | Skip:
        """Why it must not go, or the composed message."""
        require(self.tools, self.channel, self.tools.mailer)
        recipient: str | None = scene.row.contact_email
        reason = await self._obstacle(scene)
        if reason is not None or recipient is None:
            return Skip(reason or "the contact has no e-mail address", recipient or "")
        own_id = message_id(scene.instance, scene.call.step, scene.call.visit)
        mail = self.tools.mail
        links = MessageLinks(self.tools.links, mail.public_url, Sent(own_id, scene.contact_id, step.template))
        marketing = scene.definition.purpose != TRANSACTIONAL
        unsubscribe = links.unsubscribe(scene.definition.list_key) if marketing else None
        context = {
            **scene.context(),
            "unsubscribe_url": unsubscribe,
            "preferences_url": links.preferences(),
        }
        said = await contents.mail(step, scene.view.templates, context, mail.sender)
        rendered = links.tracked(said.rendered, opens=step.track.opens, clicks=step.track.clicks)
        draft = Draft(
            message_id=f"{own_id}@{mail.domain}",
            sender=said.sender,
            recipient=recipient,
            reply_to=said.reply_to,
            rendered=rendered,
            unsubscribe_url=unsubscribe,
            unsubscribe_mailto=None,
            date=tried_at(scene),
            headers={},
        )
        content = self.tools.mailer.compose(draft)
        return Outgoing(own_id, recipient, rendered.subject, content, said.sender)

    async def hand_over(self, step: SendEmail, outgoing: Outgoing, claim: Claim) -> dict[str, Any]:
        """The mail channel's; with SMTP the claim falls between RCPT TO and DATA."""
        mail = Mail(outgoing.id, outgoing.sender, outgoing.recipient, outgoing.content)
        return {"subject": outgoing.subject, **await self.tools.mailer.deliver(mail, claim)}

    async def _obstacle(self, scene: Scene) -> str | None:
        status = None
        list_key = scene.definition.list_key
        if list_key is not None and scene.definition.purpose != TRANSACTIONAL:
            s = rows.subscriptions.c
            async with self.tools.database.read() as connection:
                status = (
                    await connection.execute(
                        select(s.status).where(s.contact_id == scene.contact_id, s.list_key == list_key)
                    )
                ).scalar()
        return no_mail(scene.definition, scene.row.contact_email_state, status)
