"""`onward demo`: the main job, from event to inbox, for eyes. Every statement that it prints was observed; where
something is not as it should be, it says what and ends with an error.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from temporalio.client import Client, WorkflowExecutionStatus

from dev.mailbox import Mail
from dev.ports import Ports
from dev.run import banner, plain, stop_on_signals
from dev.stack import CLI, Stack, StackError

T = TypeVar("T")

EXAMPLES = CLI.with_name("examples")
FILES = ("order-confirmation.yaml", "welcome.yaml", "abandoned-cart.yaml", "click-followup.yaml")
CONTACT = "22222"
ADDRESS = "jane.doe@example.com"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"
LEARN_MORE = "https://shop.example.com/learn-more"
NO_SCANNER = timedelta(seconds=2.5)
ALL_SECONDS = 240.0
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05
LINES_SHOWN = 8
OUTPUT_WIDTH = 150


class Unexpected(Exception):
    """Something was not observed as it should have been."""


async def run(*, keep: bool, folder: Path | None) -> int:
    """Run the demo; returns the exit code. With `keep`, it goes on until a signal after a good end."""
    console = Console() if sys.stdout.isatty() else Console(width=OUTPUT_WIDTH)
    if folder is not None:
        if _is_used(folder):
            Console(stderr=True).print(
                f"{folder} is not empty: the demo begins with nothing.", highlight=False
            )
            return 1
        return await _run_in(folder, console, keep)
    with tempfile.TemporaryDirectory(prefix="onward-demo-") as temporary:
        return await _run_in(Path(temporary), console, keep)


async def _run_in(folder: Path, console: Console, keep: bool) -> int:
    stack = Stack(
        folder,
        Ports.free(),
        say=lambda part, line: None,
        caught=lambda mail: None,
        environment=_environment(),
        working_folder=folder,
    )
    stop, told = stop_on_signals(stack), asyncio.Event()
    showing = asyncio.create_task(_show(stack, console, told, stop if keep else None))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not told.is_set():
        showing.cancel()
    try:
        await showing
    except (StackError, Unexpected) as error:
        Console(stderr=True).print(
            f"[bold red]The demo failed.[/bold red] {escape(str(error))}", soft_wrap=True
        )
        return 1
    except TimeoutError:
        Console(stderr=True).print(
            f"[bold red]The demo failed.[/bold red] It took more than {ALL_SECONDS:g} s."
        )
        return 1
    except asyncio.CancelledError:
        console.print("Stopped.")
        return 130
    return 0


async def _show(
    stack: Stack, console: Console, told: asyncio.Event, keep_until: asyncio.Event | None
) -> None:
    began = time.monotonic()
    console.print("Onward starts on embedded parts: Temporal, SQLite, API, worker, mail catcher …")
    console.print("Its API serves this machine only, and needs no key.")
    async with asyncio.timeout(ALL_SECONDS) as limit, stack.running(), _Story.of(stack, console) as story:
        banner(console, stack)
        await story.tell()
        told.set()
        limit.reschedule(None)
        seconds = time.monotonic() - began
        console.print(f"\n[bold green]All of this was observed, in {seconds:.0f} s.[/bold green]")
        if keep_until is not None:
            limit.reschedule(None)
            console.print(
                f"It goes on until Ctrl-C. Look at {stack.ui_url} and {stack.mail_url}.", highlight=False
            )
            await keep_until.wait()


class _Story:
    """The steps, in order. Each does something over HTTP, shows the answer, and checks what came of it."""

    def __init__(self, stack: Stack, console: Console, http: httpx.AsyncClient, temporal: Client) -> None:
        self._stack = stack
        self._console = console
        self._http = http
        self._temporal = temporal
        self._seen: set[str] = set()
        self._chapter = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack, console: Console) -> AsyncIterator["_Story"]:
        """With its connections."""
        async with httpx.AsyncClient(base_url=f"{stack.api_url}/v1", trust_env=False, timeout=10) as http:
            yield cls(stack, console, http, await stack.client())

    async def tell(self) -> None:
        """Everything."""
        await self._apply_examples()
        await self._nobody_yet()
        await self._order_is_confirmed()
        welcome = await self._subscriber_is_welcomed()
        cart = await self._cart_is_waited_for()
        await self._order_stops_the_cart(cart)
        await self._click_is_followed_up(welcome)
        await self._what_came_of_it(cart)

    async def _apply_examples(self) -> None:
        self._title("Processes from files", "onward process apply --activate examples/*.yaml")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            CLI,
            *("process", "apply", "--activate", "--api", self._stack.api_url),
            *(EXAMPLES / name for name in FILES),
            cwd=EXAMPLES.parent,
            env={name: value for name, value in os.environ.items() if name != "ONWARD_API_KEY"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        for line in output.decode(errors="replace").splitlines():
            self._line(escape(line.replace(f"{EXAMPLES.parent}/", "")))
        _check(process.returncode == 0, "`onward process apply` failed")
        found = {p["key"]: p for p in (await self._get("/processes"))["items"]}
        for key in ("order-confirmation", "welcome", "abandoned-cart", "click-followup"):
            _check(found.get(key, {}).get("status") == "active", f"process {key} is not active")

    async def _nobody_yet(self) -> None:
        self._title("The contact, before", f"GET /v1/contacts/{CONTACT}")
        response = await self._http.get(f"/contacts/{CONTACT}")
        _check(response.status_code == 404, f"contact {CONTACT} is there already ({response.status_code})")
        self._line(f"404 {escape(response.json()['title'])}: {escape(response.json()['detail'])}")

    async def _order_is_confirmed(self) -> None:
        self._title("An order, in the seed's own body: confirmed each time", "POST /v1/events")
        items = [
            {"name": "Sencha, first flush", "quantity": 2, "price": 12.5},
            {"name": "Cast-iron teapot", "quantity": 1, "price": 59},
        ]
        body = {
            "eventTypeKey": "order_created",
            "keyValue": "1001",
            "params": [
                {"name": "ContactId", "value": CONTACT},
                {"name": "EmailAddress", "value": ADDRESS},
                {"name": "currency", "value": "EUR"},
                {"name": "items", "value": items},
            ],
        }
        self._body(body)
        decisions = self._decisions(await self._post("/events", body))
        instance = _instance_of(decisions, "order-confirmation", "started")
        mail = await self._mail("Your order 1001")
        text = mail.body("plain") or ""
        for wanted in ("Sencha, first flush", "Cast-iron teapot", "84.00 EUR"):
            _check(wanted in text, f"the confirmation does not have «{wanted}»")
        await self._ended(instance, "completed", WorkflowExecutionStatus.COMPLETED)
        await self._show_tags({"customer"})

    async def _subscriber_is_welcomed(self) -> Mail:
        self._title(
            "A subscription to the newsletter: the welcome series, once",
            f'PUT /v1/contacts/{CONTACT}/lists/newsletter {{"status": "subscribed"}}',
        )
        await self._put(f"/contacts/{CONTACT}/lists/newsletter", {"status": "subscribed"})
        await self._show_lists("newsletter", "subscribed")
        mail = await self._mail("Welcome")
        instance = f"welcome/{CONTACT}"
        found = await self._in_state(instance, "waiting")
        self._comes_next(found, timedelta(days=2))
        self._line("Asked for again, the process says why not:")
        self._request(f'POST /v1/processes/welcome/instances {{"contact": "{CONTACT}"}}')
        response = await self._http.post("/processes/welcome/instances", json={"contact": CONTACT})
        _check(
            response.status_code == 409, f"a second welcome series was not refused ({response.status_code})"
        )
        detail = response.json()["detail"]
        _check("once" in detail, f"the refusal does not name the recurrence: {detail}")
        self._line(f"409 {escape(detail)}")
        return mail

    async def _cart_is_waited_for(self) -> str:
        self._title("Three abandoned carts in one hour: one reminder", "POST /v1/events, three times")
        started: list[str] = []
        skipped: list[str] = []
        for number in (1, 2, 3):
            body = {
                "type": "cart_abandoned",
                "id": f"cart-{number}",
                "contact": {"id": CONTACT, "email": ADDRESS},
                "params": {"currency": "EUR", "items": [{"name": "Matcha whisk", "price": 18}]},
            }
            if number == 1:
                self._body(body)
            for decision in self._decisions(await self._post("/events", body)):
                if decision["process"] == "abandoned-cart":
                    (started if decision["decision"] == "started" else skipped).append(
                        decision.get("instance") or decision.get("reason") or ""
                    )
        _check(len(started) == 1, f"{len(started)} carts started an instance, not 1")
        _check(len(skipped) == 2 and all("once per" in why for why in skipped), f"not two skipped: {skipped}")
        found = await self._in_state(started[0], "waiting")
        self._comes_next(found, timedelta(hours=1))
        return started[0]

    async def _order_stops_the_cart(self, cart: str) -> None:
        self._title(
            "The contact orders after all: the cart's instance is stopped, no other", "POST /v1/events"
        )
        body = {
            "type": "order_created",
            "id": "order",
            "key": "1002",
            "contact": {"id": CONTACT, "email": ADDRESS},
            "params": {"currency": "EUR", "items": [{"name": "Matcha whisk", "quantity": 1, "price": 18}]},
        }
        self._body(body)
        decisions = self._decisions(await self._post("/events", body))
        _check(_instance_of(decisions, "abandoned-cart", "stopped") == cart, "another instance was stopped")
        confirmation = _instance_of(decisions, "order-confirmation", "started")
        await self._mail("Your order 1002")
        await self._ended(cart, "stopped", WorkflowExecutionStatus.CANCELED)
        await self._ended(confirmation, "completed", WorkflowExecutionStatus.COMPLETED)
        await self._in_state(f"welcome/{CONTACT}", "waiting")
        self._line(f"welcome/{CONTACT} still waits for its second message.")

    async def _click_is_followed_up(self, welcome: Mail) -> None:
        link = _tracked_link(welcome)
        path = urlsplit(link).path
        self._title(
            "A click on «Learn more» in the welcome: the segment Opened, and the details", f"GET {path[:40]}…"
        )
        # Who clicks at once after the send is taken for a scanner of mail.
        await asyncio.sleep((welcome.received_at + NO_SCANNER - datetime.now(UTC)).total_seconds())
        answer = await self._http.get(link, headers={"User-Agent": BROWSER})
        location = answer.headers.get("location", "")
        _check(location.startswith(LEARN_MORE), f"the link led to {location or answer.status_code}")
        self._line(f"{answer.status_code} {escape(location)}")
        decisions = self._show_decisions(await _eventually(self._click_told, "the event of the click"))
        instance = _instance_of(decisions, "click-followup", "started")
        await self._mail("More about the spring harvest")
        await self._ended(instance, "completed", WorkflowExecutionStatus.COMPLETED)
        visits = (await self._get(f"/instances/{quote(instance)}"))["visits"]
        branch = next((v["result"] for v in visits if v["step"] == "segment"), None) or {}
        _check(branch.get("to") == "details", f"the contact was not found in the segment Opened: {branch}")
        self._line(f"condition: {escape(str(branch.get('branch')))}")
        await self._show_tags({"customer", "opened-offer"})

    async def _click_told(self) -> list[Mapping[str, Any]] | None:
        events = (await self._get("/events?type=message.clicked"))["items"]
        return events[0]["decisions"] if events else None

    async def _what_came_of_it(self, cart: str) -> None:
        self._title("The contact, after", f"GET /v1/contacts/{CONTACT}, …/lists, …/instances")
        await self._show_tags({"customer", "opened-offer"})
        await self._show_lists("newsletter", "subscribed")
        found = (await self._get(f"/contacts/{CONTACT}/instances"))["items"]
        table = Table("Instance", "State", "Outcome", "Why, or what comes next", box=None, pad_edge=False)
        for instance in found:
            why = instance.get("reason") or (instance.get("next") or {}).get("summary") or ""
            table.add_row(*map(_text, (instance["id"], instance["state"], instance.get("outcome"), why)))
        self._console.print(table)
        outcomes = sorted(f"{i['process']} {i.get('outcome') or i['state']}" for i in found)
        wanted = [
            "abandoned-cart stopped",
            "click-followup completed",
            "order-confirmation completed",
            "order-confirmation completed",
            "welcome waiting",
        ]
        _check(outcomes == wanted, f"the instances are {outcomes}, not {wanted}")
        unexpected = [mail.subject for mail in self._new_mail()]
        _check(not unexpected, f"mail came that nobody waited for: {unexpected}")
        _check(any(i["id"] == cart for i in found), f"{cart} is missing")

    # What it sees

    async def _mail(self, subject: str) -> Mail:
        """The next message, with what a person would look at."""

        async def came() -> Mail | None:
            return next(
                (mail for mail in reversed(self._new_mail()) if mail.subject.startswith(subject)), None
            )

        mail = await _eventually(came, f"a message «{subject}…»")
        self._seen.add(mail.id)
        _check(mail.recipient == ADDRESS, f"«{mail.subject}» went to {mail.recipient}, not {ADDRESS}")
        self._line(f"[green]mail[/green] {self._stack.mail_url}/messages/{mail.id}")
        lines = [f"From: {mail.sender}", f"To: {mail.to}", f"Subject: {mail.subject}", ""]
        body = [line for line in (mail.body("plain") or "").splitlines() if line.strip()]
        for line in [*lines, *body[:LINES_SHOWN]]:
            self._line(f"  [dim]│[/dim] {escape(plain(line))}")
        return mail

    def _new_mail(self) -> Sequence[Mail]:
        return [mail for mail in self._stack.mailbox.newest() if mail.id not in self._seen]

    async def _ended(self, instance: str, outcome: str, status: WorkflowExecutionStatus) -> None:
        found = await self._in_state(instance, "ended")
        _check(found["outcome"] == outcome, f"{instance} ended as {found['outcome']}, not as {outcome}")
        handle = self._temporal.get_workflow_handle(instance)

        async def closed() -> WorkflowExecutionStatus | None:
            seen = (await handle.describe()).status
            return None if seen == WorkflowExecutionStatus.RUNNING else seen

        said = await _eventually(closed, f"the end of workflow {instance}")
        _check(said == status, f"Temporal says {said.name} of {instance}, not {status.name}")
        why = f" ({escape(found['reason'])})" if found.get("reason") else ""
        self._line(
            f"instance {escape(instance)}: {outcome}{why}; Temporal says [bold]{said.name.title()}[/bold]"
        )

    async def _in_state(self, instance: str, state: str) -> Mapping[str, Any]:
        async def there() -> Mapping[str, Any] | None:
            response = await self._http.get(f"/instances/{quote(instance)}")
            found: Mapping[str, Any] = response.json() if response.is_success else {}
            return found if found.get("state") == state else None

        return await _eventually(there, f"instance {instance} {state}")

    def _comes_next(self, instance: Mapping[str, Any], after: timedelta) -> None:
        following = instance["next"]
        left = datetime.fromisoformat(following["due_at"]) - datetime.now(UTC)
        _check(
            abs(left - after) < timedelta(hours=2 if after.days else 0, minutes=2),
            f"it waits {left}, not {after}",
        )
        self._line(f"instance {escape(instance['id'])} waits; next: {escape(following['summary'])}")
        self._line(f"  {self._stack.workflow_url(instance['id'])}")

    async def _show_tags(self, wanted: set[str]) -> None:
        contact = await self._get(f"/contacts/{CONTACT}")
        tags = {tag["tag"] if isinstance(tag, dict) else tag for tag in contact.get("tags") or []}
        _check(tags == wanted, f"the contact's tags are {sorted(tags)}, not {sorted(wanted)}")
        self._line(f"tags of {CONTACT}: {', '.join(sorted(tags))}")

    async def _show_lists(self, key: str, status: str) -> None:
        found = (await self._get(f"/contacts/{CONTACT}/lists"))["items"]
        statuses = {one.get("list") or one.get("key"): one["status"] for one in found}
        _check(statuses.get(key) == status, f"the contact's lists are {statuses}")
        self._line(f"lists of {CONTACT}: {', '.join(f'{name} ({how})' for name, how in statuses.items())}")

    # What it says

    def _title(self, title: str, request: str) -> None:
        self._chapter += 1
        self._console.print(f"\n[bold]{self._chapter}. {escape(title)}[/bold]", highlight=False)
        self._request(request)

    def _request(self, request: str) -> None:
        self._line(f"[cyan]{escape(request)}[/cyan]")

    def _body(self, body: Mapping[str, Any]) -> None:
        """JSON as a person would write it: a line for each field, and for each of a list."""
        lines = []
        for name, value in body.items():
            if isinstance(value, list):
                inner = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
                lines.append(f"  {json.dumps(name)}: [\n{inner}\n  ]")
            else:
                lines.append(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
        shown = "\n".join(["{", ",\n".join(lines), "}"])
        self._line(f"[dim]{escape(shown)}[/dim]")

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)

    def _decisions(self, reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        self._line(f"{escape(str(reply['status']))}; contact {reply['contact_status']}; process by process:")
        return self._show_decisions(reply["decisions"])

    def _show_decisions(self, decisions: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        for decision in decisions:
            words = " ".join(str(decision[n]) for n in ("instance", "reason") if decision.get(n))
            self._line(f"  {decision['process']}: [bold]{decision['decision']}[/bold] {escape(words)}")
            if decision["decision"] == "started":
                self._line(f"    {self._stack.workflow_url(decision['instance'])}")
        return decisions

    # How it asks

    async def _get(self, path: str) -> Any:
        return _answer(await self._http.get(path))

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return _answer(await self._http.post(path, json=body))

    async def _put(self, path: str, body: Mapping[str, Any]) -> Any:
        return _answer(await self._http.put(path, json=body))


def _tracked_link(mail: Mail) -> str:
    """Where the first link of a message leads that tells of clicks."""
    found = re.search(r'href="([^"]+/t/c/[^"]+)"', mail.body("html") or "")
    if found is None:
        raise Unexpected(f"«{mail.subject}» has no link that tells of clicks")
    return found[1]


def _answer(response: httpx.Response) -> Any:
    _check(
        response.is_success,
        f"{response.request.method} {response.request.url.path} answered {response.status_code}: {response.text[:500]}",
    )
    return response.json()


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Unexpected(otherwise)


def _instance_of(decisions: Sequence[Mapping[str, Any]], process: str, decision: str) -> str:
    found = [d for d in decisions if d["process"] == process]
    _check(
        len(found) == 1 and found[0]["decision"] == decision,
        f"{process} should have been {decision}; the reply says {found or 'nothing of it'}",
    )
    instance: str = found[0]["instance"]
    return instance


async def _eventually(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                seen = await look()
                if seen is not None:
                    return seen
                await asyncio.sleep(POLL_SECONDS)
    raise Unexpected(f"{what} did not come within {WAIT_SECONDS:g} s")


def _is_used(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _text(value: Any) -> str:
    return escape("" if value is None else str(value))


def _environment() -> dict[str, str]:
    """This process's environment without anyone's settings of Onward: the demo runs on defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ONWARD_")}
