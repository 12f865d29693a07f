"""The workflow of an instance: it carries out instructions, and never interprets a definition.

`begin` gives the first instruction, and each activity the next. A wait can be ended early by an event; a hold ends
with a release; a cancellation is recorded by `close`, whatever it interrupts. A person's intervention (skip, move,
resend) is an update: it is taken up where the instance waits or holds, in the loop itself, so that it meets no other
step. Everything else lives in activities.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, FailureError

with workflow.unsafe.imports_passed_through():
    from processes.instructions import (
        BEGIN,
        CANCEL_STEP,
        CLOSE,
        INTERVENE,
        MARKS_HOLDS,
        MOVE,
        QUERY_STATUS,
        RECONSIDER,
        REFUSED,
        RESEND,
        RESTORE_STEP,
        SEARCH_CONTACT,
        SEARCH_HELD,
        SEARCH_PROCESS,
        SEARCH_VERSION,
        SIGNAL_EDITED,
        SIGNAL_EVENT,
        SIGNAL_RELEASE,
        SKIP,
        SKIP_WAIT,
        WORKFLOW,
        Begin,
        Begun,
        Close,
        End,
        EventSignal,
        Hold,
        Instruction,
        Intervened,
        Intervention,
        Perform,
        Resent,
        State,
        StepCall,
        Wait,
    )
    from workflows.interventions import Desk

ACTIVITY_TIMEOUT = timedelta(minutes=5)
PULSE_TIMEOUT = timedelta(seconds=30)
"""A worker that was killed is noticed after this; one that is merely slow must not be taken for dead."""
RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=10)
)
LOCAL_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=20),
)
EDITED = "the process was edited"
LONGEST_HOLD = timedelta(days=3650)
"""A held instance's timer, which shows in the timeline; it stays held when that is over."""
SHOWN_OF_A_REASON = 100
LONGEST_SUMMARY = 400
"""Bytes that Temporal takes."""
PATH_LENGTH = 50
SEEN_EVENTS = 500


@workflow.defn(name=WORKFLOW)
class ProcessInstance:
    """One run of a process for one contact."""

    @workflow.init
    def __init__(self, request: Any = None) -> None:
        self._next: Instruction | None = None
        self._events: list[EventSignal] = []
        self._seen: list[str] = []
        self._path: list[str] = []
        self._released = False
        self._edited = False
        self._problem: str | None = None
        self._held: str | None = None
        """What the search attribute says that the instance is held for."""
        self._names: dict[str, str] = {}
        self._desk = Desk()
        if isinstance(request, dict) and "next" in request:
            state = State.model_validate(request)
            self._next, self._events, self._seen, self._path, self._released, self._edited = (
                state.next,
                state.events,
                state.seen,
                state.path,
                state.released,
                state.edited,
            )
            self._desk.done = list(state.interventions)
            self._held, self._names = state.held, dict(state.names)
        elif request is not None and not isinstance(request, dict):
            self._problem = 'bad input: give an object such as {"process": "welcome", "contact": "22222"}'

    @workflow.run
    async def run(self, request: Any = None) -> dict[str, str]:
        """Run until the end. Returns the outcome; fails where a person's start was refused for its input."""
        try:
            return await self._follow(request)
        except (FailureError, asyncio.CancelledError) as error:
            # A failure too: an attempt that fails after a cancellation is not tried again, and says so by its error.
            # Not GeneratorExit: a worker that stops throws coroutines away outside of the workflow's loop.
            if workflow.cancellation_reason() is None:
                raise
            await self._close()
            await self._desk.shut("it was stopped")
            raise CancelledError("stopped") from error

    @workflow.signal(name=SIGNAL_EVENT)
    def event(self, event: EventSignal) -> None:
        """An event that this instance waits for has come. The same event twice counts once."""
        if event.id not in self._seen:
            self._seen = [*self._seen, event.id][-SEEN_EVENTS:]
            self._events.append(event)

    @workflow.signal(name=SIGNAL_RELEASE)
    def release(self) -> None:
        """Try again what the instance holds at."""
        self._released = True

    @workflow.update(name=SKIP)
    async def skip(self, wish: Any = None) -> dict[str, Any]:
        """Leave the step undone at which the instance stands, and go on with what follows."""
        return await self._desk.take(SKIP, wish, self._next)

    @skip.validator
    def may_skip(self, wish: Any = None) -> None:
        """Refuse where there is nothing to skip."""
        self._desk.check(SKIP, wish, self._next)

    @workflow.update(name=SKIP_WAIT)
    async def skip_wait(self, wish: Any = None) -> dict[str, Any]:
        """End the wait now, as if its time were over."""
        return await self._desk.take(SKIP_WAIT, wish, self._next)

    @skip_wait.validator
    def may_skip_wait(self, wish: Any = None) -> None:
        """Refuse where nothing is waited for."""
        self._desk.check(SKIP_WAIT, wish, self._next)

    @workflow.update(name=MOVE)
    async def move(self, wish: Any = None) -> dict[str, Any]:
        """Put the instance at another step."""
        return await self._desk.take(MOVE, wish, self._next)

    @move.validator
    def may_move(self, wish: Any = None) -> None:
        """Refuse where the instance stands nowhere."""
        self._desk.check(MOVE, wish, self._next)

    @workflow.update(name=RESEND)
    async def resend(self, wish: Any = None) -> dict[str, Any]:
        """Send the message of a step once more; the instance stays where it is."""
        return await self._desk.take(RESEND, wish, self._next)

    @resend.validator
    def may_resend(self, wish: Any = None) -> None:
        """Refuse where the instance is busy."""
        self._desk.check(RESEND, wish, self._next)

    @workflow.update(name=CANCEL_STEP)
    async def cancel_step(self, wish: Any = None) -> dict[str, Any]:
        """Skip a step when the instance comes to it; until then the instance goes on as it is."""
        return await self._desk.take(CANCEL_STEP, wish, self._next)

    @cancel_step.validator
    def may_cancel_step(self, wish: Any = None) -> None:
        """Refuse while the instance is busy."""
        self._desk.check(CANCEL_STEP, wish, self._next)

    @workflow.update(name=RESTORE_STEP)
    async def restore_step(self, wish: Any = None) -> dict[str, Any]:
        """Take the cancellation of a step ahead back."""
        return await self._desk.take(RESTORE_STEP, wish, self._next)

    @restore_step.validator
    def may_restore_step(self, wish: Any = None) -> None:
        """Refuse while the instance is busy."""
        self._desk.check(RESTORE_STEP, wish, self._next)

    @workflow.signal(name=SIGNAL_EDITED)
    def edited(self) -> None:
        """The process was edited, and those inside move: look again at what the instance waits for."""
        self._edited = True

    @workflow.query(name=QUERY_STATUS)
    def status(self) -> dict[str, Any]:
        """What the instance does now, and the path so far."""
        doing = None if self._next is None else self._next.model_dump(mode="json", exclude_none=True)
        return {"next": doing, "path": self._path}

    async def _follow(self, request: Any) -> dict[str, str]:
        if self._next is None:
            self._next = await self._begin(request)
        while True:
            if workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished():
                workflow.continue_as_new(
                    State(
                        next=self._next,
                        events=self._events,
                        seen=self._seen,
                        path=self._path,
                        released=self._released,
                        **({"edited": True} if self._edited else {}),
                        **({"interventions": self._desk.done} if self._desk.done else {}),
                        **({"held": self._held} if self._held is not None else {}),
                        **({"names": self._names} if self._names else {}),
                    )
                )
            self._desk.refuse_the_late(self._next)
            if workflow.cancellation_reason() is not None and not _stands(self._next):
                raise CancelledError("stopped")
            self._mark_hold(self._next)
            match self._next:
                case End() as end:
                    await self._desk.shut(f"it has ended: {end.outcome}")
                    return self._ended(end)
                case Perform() as perform:
                    self._next = await self._perform(perform)
                case Wait() as wait:
                    self._next = await self._wait(wait)
                case Hold() as hold:
                    self._next = await self._hold(hold, request)
            self._show()

    async def _begin(self, request: Any) -> Instruction:
        begun = await workflow.execute_local_activity(
            BEGIN,
            Begin(
                now=workflow.now(),
                run=workflow.info().first_execution_run_id,
                **({"request": request} if isinstance(request, dict) else {}),
                **({"problem": self._problem} if self._problem is not None else {}),
            ),
            result_type=Begun,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=LOCAL_RETRIES,
        )
        self._label(begun)
        self._show_next(begun.next)
        following: Instruction = begun.next
        return following

    async def _perform(self, perform: Perform, event: str | None = None) -> Instruction:
        self._come_to(perform.step)
        with self._desk.closed(f"its step {perform.step} is under way"):
            following: Instruction = await self._run(
                perform.activity,
                StepCall(
                    step=perform.step,
                    now=workflow.now(),
                    **({"visit": perform.visit} if perform.visit != 1 else {}),
                    **({"event": event} if event is not None else {}),
                ),
                cast(type, Instruction),
                _summary(perform),
            )
        if isinstance(following, Hold):
            return following.model_copy(update={"again": perform, "event": event})
        return following

    def _come_to(self, step: str) -> None:
        """Keep the path; what is tried again, and a wait's own decision, are no second visit."""
        if self._path[-1:] != [step]:
            self._path = [*self._path, step][-PATH_LENGTH:]

    async def _run(self, activity: str, call: Any, answer: type, summary: str) -> Any:
        return await workflow.execute_activity(
            activity,
            call,
            result_type=answer,
            start_to_close_timeout=ACTIVITY_TIMEOUT,
            heartbeat_timeout=PULSE_TIMEOUT,
            retry_policy=RETRIES,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=_short(summary),
        )

    async def _wait(self, wait: Wait) -> Instruction:
        self._come_to(wait.step)
        left = wait.until - workflow.now()
        if left > timedelta(0):
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._awaited(wait) is not None or self._desk.is_asked or self._edited,
                    timeout=left,
                    timeout_summary=_short(wait.summary),
                )
        came = self._awaited(wait)
        if workflow.cancellation_reason() is not None:
            raise CancelledError("stopped")
        if self._desk.is_asked:
            return await self._intervene(wait)
        if self._edited and came is None:
            self._edited = False
            return await self._perform(
                Perform(do="perform", step=wait.step, visit=wait.visit, activity=RECONSIDER, summary=EDITED)
            )
        self._events = []
        return await self._perform(wait.then, came.id if came is not None else None)

    def _awaited(self, wait: Wait) -> EventSignal | None:
        for event in self._events:
            here = event.step is None or (event.step, event.visit) == (wait.step, wait.visit)
            if event.type == wait.event and here:
                return event
        return None

    async def _hold(self, hold: Hold, request: Any) -> Instruction:
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._released or self._desk.is_asked,
                timeout=LONGEST_HOLD if self._held is not None else None,
                timeout_summary=_short(_hold_summary(hold)) if self._held is not None else None,
            )
        if not self._released and not self._desk.is_asked:
            return hold
        if self._desk.is_asked:
            return await self._intervene(hold)
        self._released = False
        if hold.again is None:
            return await self._begin(request)
        return await self._perform(hold.again, hold.event)

    async def _intervene(self, here: Instruction) -> Instruction:
        """Serve the person who waits; the instance stays here where the activity refuses what they want."""
        asked = self._desk.next()
        with self._desk.closed("another intervention is under way"):
            following = await self._serve(asked, here)
            await self._desk.heard(asked)
        return following

    async def _serve(self, asked: Intervention, here: Instruction) -> Instruction:
        call = asked.model_copy(update={"now": workflow.now()})
        try:
            done: Intervened = await self._run(
                INTERVENE, call, Intervened, f"{asked.kind} by {asked.actor} · step {asked.step}"
            )
        except ActivityError as error:
            if not isinstance(error.cause, ApplicationError) or error.cause.type != REFUSED:
                raise
            self._desk.refuse(asked, error.cause.message)
            return here
        if done.again is not None:
            sent = await self._resend(done.again)
            self._desk.answer(asked, sent.model_dump(exclude_none=True))
        if done.cancelled is not None:
            self._desk.answer(asked, {"cancelled": done.cancelled})
        if done.next is None:
            return here
        # What came for the place that is left is of no use; what came for the new one may be here already.
        self._events = [e for e in self._events if e.step and (e.step, e.visit) != (asked.step, asked.visit)]
        self._desk.answer(asked, {"next": done.next.model_dump(mode="json", exclude_unset=True)})
        following: Instruction = done.next
        return following

    async def _resend(self, perform: Perform) -> Resent:
        call = StepCall(step=perform.step, visit=perform.visit, now=workflow.now())
        sent: Resent = await self._run(RESEND, call, Resent, f"resend · {_summary(perform)}")
        return sent

    async def _close(self) -> None:
        """Record the outcome; a cancelled workflow still does this one thing."""
        reason = workflow.cancellation_reason()
        await workflow.execute_activity(
            CLOSE,
            Close(now=workflow.now(), **({"reason": reason} if reason else {})),
            result_type=str,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RETRIES,
            summary=f"stop: {reason[:SHOWN_OF_A_REASON]}" if reason else "stop",
        )

    def _ended(self, end: End) -> dict[str, str]:
        if end.outcome == "refused" and end.reason is not None and end.reason.startswith("bad input"):
            raise ApplicationError(end.reason, type="BadInput", non_retryable=True)
        ended = {"outcome": end.outcome}
        return ended | {"reason": end.reason} if end.reason is not None else ended

    def _named(self, step: str) -> str:
        """A step by its name and its id, as far as this run has heard of the name."""
        return f"{self._names[step]} ({step})" if step in self._names else step

    def _label(self, begun: Begun) -> None:
        """A workflow that a person started gets the search attributes that others have from their start."""
        if begun.process is None or begun.contact is None or begun.version is None:
            return
        workflow.upsert_search_attributes(
            [
                SearchAttributeKey.for_keyword(SEARCH_PROCESS).value_set(begun.process),
                SearchAttributeKey.for_keyword(SEARCH_CONTACT).value_set(begun.contact),
                SearchAttributeKey.for_int(SEARCH_VERSION).value_set(begun.version),
            ]
        )

    def _mark_hold(self, following: Instruction) -> None:
        """Say in the search attribute `OnwardHeld` that the instance is held, and for what, or that it is no more: two
        billable actions for each hold, and a timer that shows in the timeline. A step that is tried again and is held
        for the same reason changes nothing.
        """
        held = following.reason if isinstance(following, Hold) and not _is_stopping(following) else None
        if held == self._held or not workflow.patched(MARKS_HOLDS):
            return
        attribute = SearchAttributeKey.for_keyword(SEARCH_HELD)
        workflow.upsert_search_attributes(
            [attribute.value_set(held) if held is not None else attribute.value_unset()]
        )
        self._held = held

    def _show(self) -> None:
        if self._next is not None:
            self._show_next(self._next)

    def _show_next(self, following: Instruction) -> None:
        if isinstance(following, Perform | Wait) and following.name is not None:
            self._names[following.step] = following.name
        path = " → ".join(map(self._named, self._path)) or "(start)"
        match following:
            case Perform():
                doing = f"at **{self._named(following.step)}**: {following.activity}"
            case Wait():
                doing = f"at **{self._named(following.step)}**: {following.summary or 'wait'}"
            case Hold():
                at = following.again.step if following.again is not None else None
                where = f" at **{self._named(at)}**" if at else ""
                doing = f"**held**{where}: {following.reason} {following.detail or ''}"
            case End():
                doing = f"ended: {following.outcome}"
        workflow.set_current_details(f"{doing}\n\npath: {path}")


def _is_stopping(hold: Hold) -> bool:
    """Whether it only waits for the cancellation that is on its way."""
    return hold.reason == "stopping"


def _hold_summary(hold: Hold) -> str:
    """What the timeline of the Web UI shows while the instance is held."""
    at = f" · {_place(hold.again)}" if hold.again is not None else ""
    return f"Held · {hold.reason}: {(hold.detail or '')[:SHOWN_OF_A_REASON]}{at}"


def _short(summary: str | None) -> str | None:
    """As much of a summary as Temporal takes."""
    return None if summary is None else summary.encode()[:LONGEST_SUMMARY].decode(errors="ignore")


def _place(perform: Perform) -> str:
    step = f"step {perform.step}"
    return f"{perform.name} · {step}" if perform.name is not None else step


def _stands(instruction: Instruction) -> bool:
    """Whether the instance came to its own end before a cancellation could stop it."""
    return isinstance(instruction, End) and instruction.outcome not in {"stopped", "contact_deleted"}


def _summary(perform: Perform) -> str:
    """What the Web UI shows beside the activity's name."""
    return f"{perform.summary} · {_place(perform)}" if perform.summary else _place(perform)
