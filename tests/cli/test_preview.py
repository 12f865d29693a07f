"""`onward preview` against a real API."""

from pathlib import Path

import pytest

from tests.cli.conftest import Onward
from tests.support.engine import Engine
from tests.support.people import meet

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PROCESS = """
name: Welcome
recurrence: once
triggers: [{type: event, event: registered}]
steps:
  - {id: hello, type: send_email, template: hello, next: order}
  - {id: order, type: wait_for_event, event: order, within: 2 days, next: thanks, on_timeout: remind}
  - {id: thanks, type: add_tag, tag: buyer}
  - {id: remind, type: condition, branches: [{when: {contact: plan, equals: pro}, next: thanks}]}
"""
ANNA = "{email: anna@example.com, time_zone: Europe/Prague, fields: {plan: free}}"


@sqlite
async def test_the_tree_shows_each_way_for_an_imagined_contact(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    await engine.template("hello", "Hi \x1b[31m{{ contact.plan }}")
    (tmp_path / "welcome.yaml").write_text(PROCESS)
    (tmp_path / "anna.yaml").write_text(ANNA)
    said = await onward(
        "preview", "welcome", "--imagine", tmp_path / "anna.yaml", "--file", tmp_path / "welcome.yaml",
        "--event", "registered", "--at", "2026-11-23T09:00:00+01:00", "--why",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "welcome (draft) for an imagined contact, by registered, times of Europe/Prague",
        "├── Mon 2026-11-23 09:00  hello  send email · template hello",
        "│   └── to anna@example.com «Hi [31mfree»",
        "├── Mon 2026-11-23 09:00  order  Wait for order · at most until 25 Nov 09:00 Prague",
        "├── if order comes before 25 Nov 09:00 Prague",
        "│   ├── from Mon 2026-11-23 09:00  thanks  add tag · buyer",
        "│   └── end completed",
        "└── if nothing of the kind before 25 Nov 09:00 Prague",
        "    ├── Wed 2026-11-25 09:00  remind  condition · else → the end",
        "    │   └── plan is pro: does not hold (it is free)",
        "    └── end completed",
    ]


async def test_what_keeps_a_contact_out_comes_first_and_json_is_the_apis_own(
    onward: Onward, engine: Engine, tmp_path: Path
) -> None:
    await engine.template("hello", "Hi")
    await meet(engine)
    (tmp_path / "welcome.yaml").write_text(PROCESS)
    own = ("--contact", engine.contact, "--file", tmp_path / "welcome.yaml", "--event", "other")
    said = await onward("preview", "welcome", *own)
    assert (
        said.out.splitlines()[1]
        == "├── now it would not be let in: no trigger of the process starts by this other"
    )
    found = (await onward("preview", "welcome", *own, "--json")).json
    assert found["entrance"]["admitted"] is False
    assert found["timeline"]["moments"][0]["message"]["subject"] == "Hi"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--contact", "1", "--imagine", "x.yaml"),
        ("--contact", "1", "--draft", "--version", "2"),
        ("--contact", "1", "--key", "A"),
        ("--contact", "1", "--param", "a=1"),
    ],
)
async def test_options_that_do_not_fit_are_not_understood(nobody: Onward, arguments: tuple[str, ...]) -> None:
    assert (await nobody("preview", "welcome", *arguments)).code == 2
