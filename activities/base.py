"""What an activity of a step is built on: its tools, and the two shapes that effects come in.

`TransactionalStep`: the effect is rows of ours, written in the same transaction as the visit. `DeliveryStep` (in
`activities/delivery.py`): the effect is out in the world, and a ledger row stands before and after it.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import metrics
from activities.pulse import with_pulse
from activities.recording import database_may_be_away
from activities.scene import InstanceOver, InstanceUnknown, Scene, own_instance
from activities.stage import Stage
from channels.audiences import AudienceChange
from channels.errors import ContentFailed
from channels.letters import PrintedLetter
from channels.links import LinkSigner
from channels.mail import MailChannel
from channels.messenger import MessengerMessage
from channels.protocol import Channel
from channels.push import Notification
from channels.sms import Sms
from channels.webhook import WebhookSender
from intake.bounces import Bounces
from intake.changes import Changes
from intake.dispatch import Dispatcher
from intake.effects import Effects
from intake.operating import Operating
from intake.scans import Scans
from intake.segment_scans import SegmentScans
from intake.service import retried
from processes.instructions import End, Hold, Instruction, StepCall
from processes.steps import EffectStep
from processes.windows import Cap
from store.catalog import CatalogCache
from store.database import Database, DatabaseUnavailable, said_by_database

log = structlog.get_logger(__name__)

HOLD_AFTER_ATTEMPTS = 5
"""An error that nobody foresaw is retried this often, then the instance holds and shows it."""

FAILED = "failed"
"""The usual code of a hold for a person."""

S = TypeVar("S", bound=EffectStep)
C = TypeVar("C")


@dataclass(frozen=True)
class MailSettings:
    """How messages are addressed: the default From, the Message-ID's domain, and where links lead."""

    sender: str
    domain: str
    public_url: str


@dataclass(frozen=True)
class LetterSettings:
    """What stands on letters: the sender on one line, and the country within which none stands in an address."""

    sender: str
    country: str | None


@dataclass(frozen=True)
class Tools:
    """Everything that activities work with."""

    database: Database
    catalog: CatalogCache
    stage: Stage
    changes: Changes
    dispatcher: Dispatcher
    mailer: MailChannel
    mail: MailSettings
    links: LinkSigner
    webhooks: WebhookSender
    webhook_secrets: tuple[str, ...]
    """What webhooks without a secret of their own are signed with, the newest first."""
    sms: Channel[Sms] | None
    messenger: Channel[MessengerMessage] | None
    push: Channel[Notification] | None
    audiences: Channel[AudienceChange] | None
    letters: Channel[PrintedLetter] | None
    letter: LetterSettings
    unconfigured: Mapping[str, str | None]
    """By channel, the setting that is missing before it can be used, or None."""
    scans: Scans
    operating: Operating
    segment_scans: SegmentScans
    caps: tuple[Cap, ...]
    """How many messages a contact may get from processes that say nothing of it themselves."""
    bounces: Bounces


class Held(Exception):
    """The step cannot be done before a person mends something: hold the instance and show why.

    `code` is the kind of hold (`processes.reasons.HOLDS`), `detail` what exactly is to be mended.
    """

    def __init__(self, detail: str, code: str = FAILED) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code


def require(tools: Tools, name: str, channel: C | None) -> C:
    """The channel, where it is configured. Raises Held, with the setting that is missing, where it is not."""
    missing = tools.unconfigured.get(name)
    if channel is None or missing is not None:
        raise Held(f"the channel «{name}» is not configured: set {missing or 'its settings'}")
    return channel


async def guarded(
    tools: Tools, call: StepCall, work: Callable[[str, StepCall], Awaitable[Instruction]]
) -> Instruction:
    """Run a call of the activity's own instance; errors become what the workflow can act on.

    What a person must mend holds the instance; so does, after some tries, what nobody foresaw. The rest is retried.
    """
    instance = own_instance()
    about = structlog.contextvars.bound_contextvars(instance=instance, step=call.step, visit=call.visit)
    with about, database_may_be_away():
        try:
            return await work(instance, call)
        except Held as error:
            return await _hold(tools, instance, call, error.detail, error.code)
        except ContentFailed as error:
            return await _hold(tools, instance, call, str(error))
        except InstanceOver:
            async with tools.database.write() as connection:
                stands = await tools.stage.enter(connection, instance, call)
            return stands if not isinstance(stands, Scene) else End(do="end", outcome="stopped")
        except InstanceUnknown as error:
            raise ApplicationError(
                f"no row for instance {error}", type="InstanceUnknown", non_retryable=True
            ) from error
        except (ApplicationError, DatabaseUnavailable):
            raise
        except Exception as error:
            if activity.info().attempt < HOLD_AFTER_ATTEMPTS:
                raise
            log.exception("step_failed")
            return await _hold(tools, instance, call, _unforeseen(error))


def _unforeseen(error: Exception) -> str:
    """For the person who looks at the instance; of the database's errors without the statement and people's data."""
    said = said_by_database(error) if isinstance(error, SQLAlchemyError) else error
    return f"{type(error).__name__}: {said}"


async def _hold(tools: Tools, instance: str, call: StepCall, detail: str, code: str = FAILED) -> Hold:
    log.warning("instance_held", code=code, detail=detail)
    async with tools.database.write() as connection:
        return await tools.stage.hold_row(connection, instance, call, code, detail)


class StepActivity(ABC, Generic[S]):
    """An activity of a step. `model` is the step's kind; the registry takes the activity's name from it."""

    model: ClassVar[type[EffectStep]]

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    async def run(self, call: StepCall) -> Instruction:
        """Do the step's visit once, and say what comes next."""
        instruction = await guarded(self.tools, call, self.perform)
        metrics.STEPS.labels(self.model.kind, instruction.do).inc()
        return instruction

    @abstractmethod
    async def perform(self, instance: str, call: StepCall) -> Instruction:
        """The effect, guarded, with its visit recorded."""


class TransactionalStep(StepActivity[S]):
    """A step whose effect is rows of ours."""

    async def perform(self, instance: str, call: StepCall) -> Instruction:
        """Enter, apply, record: one transaction."""
        instruction, effects = await retried(
            self.tools.database, lambda connection: self._in_transaction(connection, instance, call)
        )
        await self.tools.dispatcher.send(effects)
        return instruction

    async def _in_transaction(
        self, connection: Any, instance: str, call: StepCall
    ) -> tuple[Instruction, Effects]:
        scene = await self.tools.stage.enter(connection, instance, call)
        if not isinstance(scene, Scene):
            return scene, Effects()
        step: Any = scene.step
        result = await self.apply(step, scene)
        return await self.tools.stage.finish(scene, result, to=step.way_on(result)), scene.effects

    @abstractmethod
    async def apply(self, step: S, scene: Scene) -> dict[str, Any]:
        """Write the effect's rows; returns what is kept of it. Raises Held where a person must mend something."""


def as_activity(step: StepActivity[Any]) -> Callable[[StepCall], Awaitable[Instruction]]:
    """The activity that Temporal knows under the step kind's name."""

    @activity.defn(name=step.model.kind)
    async def run(call: StepCall) -> Instruction:
        return await with_pulse(step.run, call)

    run.__doc__ = inspect.getdoc(type(step))
    return run
