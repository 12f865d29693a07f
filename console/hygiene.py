"""`onward bounces …`, `onward refusals` and `onward suppressions …`."""

import mailbox
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from console.api_client import DEFAULT_API, Api, one_part
from console.failures import Failure, why_not_read
from console.options import ApiUrl, AsJson
from console.output import echo_json, echo_more, items_of, moment_words, object_of, table
from console.tables import Words
from console.words import code

bounces_app = typer.Typer(help="Report what came back of our mail.", no_args_is_help=True)
suppressions_app = typer.Typer(help="Addresses that get nothing.", no_args_is_help=True)

MOST_BYTES = 512 * 1024
"""Of a mail that are sent: the report stands at its beginning."""

Secret = Annotated[
    str,
    typer.Option(envvar="ONWARD_BOUNCES_SECRET", help="What reports are let in with.", show_default=False),
]
Channel = Annotated[str, typer.Argument(help="email or sms.")]
Address = Annotated[str, typer.Argument(help="An e-mail address, or a phone number as +420….")]


@dataclass(frozen=True)
class _Mail:
    """A mail to be reported, and what is to be done once it was."""

    name: str
    raw: bytes
    reported: Callable[[], object] = lambda: None


@bounces_app.command("read")
def bounces_read(
    sources: Annotated[
        list[Path], typer.Argument(help="Maildirs, mbox files, single mails; - is a mail on standard input.")
    ],
    secret: Secret = "",
    again: Annotated[
        bool, typer.Option("--again", help="Also the mails of a Maildir that are marked as seen.")
    ] = False,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Report every bounce and complaint in a mailbox. What was reported before changes nothing.

    Of a Maildir, mails that are not marked as seen are read, and marked; mbox files are left as they are.
    """
    found: list[dict[str, Any]] = []
    with Api(api) as client:
        for source in sources:
            for mail in _mails(source, again):
                reply = client.post_mail("/bounces/mail", mail.raw, secret)
                mail.reported()
                found.append({"mail": mail.name, **object_of(reply)})
    if as_json:
        return echo_json(found)
    table(
        ["Mail", "Outcome", "Message", "State", "Suppressed"],
        (
            [
                one["mail"],
                code(one.get("outcome")),
                one.get("message"),
                code(one.get("state")),
                one.get("suppressed"),
            ]
            for one in found
            if one.get("outcome") != "ignored"
        ),
        empty="No bounce and no complaint.",
    )
    counted = Counter(str(one.get("outcome")) for one in found)
    typer.echo(
        f"{len(found)} mails: " + (", ".join(f"{n} {code(what)}" for what, n in counted.items()) or "none")
    )
    return None


@suppressions_app.command("list")
def suppressions_list(
    channel: Annotated[str | None, typer.Option(help="email or sms.")] = None,
    limit: Annotated[int, typer.Option(help="Lines.")] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List what is suppressed, the newest first. Addresses are kept as hashes: `show` finds one."""
    with Api(api) as client:
        reply = client.get("/suppressions", channel=channel, limit=limit)
    if as_json:
        return echo_json(reply)
    table(
        ["Channel", "Since", Words("Reason"), Words("Source"), "Hash"],
        (
            [
                s.get("channel"),
                moment_words(s.get("at")),
                s.get("reason"),
                s.get("source"),
                s.get("address_hash"),
            ]
            for s in items_of(reply)
        ),
        empty="No address is suppressed.",
    )
    echo_more(reply)
    return None


@suppressions_app.command("show")
def suppressions_show(
    channel: Channel, address: Address, api: ApiUrl = DEFAULT_API, as_json: AsJson = False
) -> None:
    """Say whether an address is suppressed, and why."""
    with Api(api) as client:
        reply = client.get(_path(channel, address))
    if as_json:
        return echo_json(reply)
    typer.echo(
        f"suppressed since {moment_words(reply.get('at'))}: {reply.get('reason')} ({reply.get('source')})"
    )
    return None


@suppressions_app.command("add")
def suppressions_add(
    channel: Channel,
    address: Address,
    reason: Annotated[str | None, typer.Option(help="For people.")] = None,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """Let an address get nothing from now on."""
    with Api(api) as client:
        reply = client.put(_path(channel, address), {} if reason is None else {"reason": reason})
    if as_json:
        return echo_json(reply)
    typer.echo("suppressed" if reply.get("changed") else "it was suppressed already")
    return None


@suppressions_app.command("release")
def suppressions_release(
    channel: Channel, address: Address, api: ApiUrl = DEFAULT_API, as_json: AsJson = False
) -> None:
    """Let an address get messages again."""
    with Api(api) as client:
        reply = client.delete(_path(channel, address))
    if as_json:
        return echo_json(reply)
    typer.echo("released" if reply.get("changed") else "it was not suppressed")
    return None


def refusals(
    cause: Annotated[str | None, typer.Option(help="Only this cause, such as mailbox_full.")] = None,
    fault: Annotated[
        str | None, typer.Option(help="Whose fault it was: recipient, temporary, sender (ours) or unknown.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel, such as email.")] = None,
    process: Annotated[str | None, typer.Option(help="Only this process.")] = None,
    limit: Annotated[int, typer.Option(help="Lines.")] = 50,
    api: ApiUrl = DEFAULT_API,
    as_json: AsJson = False,
) -> None:
    """List messages that were refused or came back, the newest first, with the cause of each.

    Examples:

    onward refusals --fault sender

    onward refusals --cause mailbox_full --process welcome
    """
    with Api(api) as client:
        reply = client.get(
            "/refusals", cause=cause, fault=fault, channel=channel, process=process, limit=limit
        )
    if as_json:
        return echo_json(reply)
    table(
        ["When", "Channel", "Cause", "State", "To", "Instance", "Step", "Detail"],
        (
            [
                moment_words(m.get("refused_at")),
                m.get("channel"),
                m.get("cause"),
                m.get("state"),
                m.get("recipient"),
                m.get("instance"),
                m.get("step"),
                m.get("detail"),
            ]
            for m in items_of(reply)
        ),
        empty="No message was refused.",
    )
    echo_more(reply)
    return None


def _path(channel: str, address: str) -> str:
    return f"/suppressions/{one_part(channel)}/{one_part(address)}"


def _mails(source: Path, again: bool) -> Iterator[_Mail]:
    try:
        if str(source) == "-":
            yield _Mail("-", sys.stdin.buffer.read(MOST_BYTES))
        elif source.is_dir():
            yield from _maildir(source, again)
        else:
            yield from _file(source)
    except OSError as error:
        raise Failure(f"{source} cannot be read.", why_not_read(error)) from error


def _file(source: Path) -> Iterator[_Mail]:
    with source.open("rb") as file:
        start = file.read(MOST_BYTES)
    if not start.startswith(b"From "):
        yield _Mail(str(source), start)
        return
    box = mailbox.mbox(source, create=False)
    try:
        for number, key in enumerate(box.keys(), 1):
            yield _Mail(f"{source} {number}", box.get_bytes(key)[:MOST_BYTES])
    finally:
        box.close()


def _maildir(folder: Path, again: bool) -> Iterator[_Mail]:
    """The mails of a Maildir. One that was reported goes to `cur`, marked as seen (its flag is S)."""
    if not (folder / "new").is_dir() or not (folder / "cur").is_dir():
        raise Failure(f"{folder} is no Maildir.", "It has no folders «new» and «cur».")
    for path in sorted([*(folder / "new").iterdir(), *(folder / "cur").iterdir()]):
        name, _, flags = path.name.partition(":2,")
        if path.name.startswith(".") or ("S" in flags and not again):
            continue
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES)
        seen = folder / "cur" / f"{name}:2,{''.join(sorted({*flags, 'S'}))}"
        yield _Mail(path.name, raw, partial(path.rename, seen))
