"""`onward process show`: everything that a definition says, and the definition given back."""

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from console.definitions import definition_lines, editable
from console.words import written
from processes.definition import parse
from processes.durations import SignedDuration
from processes.rule_words import words
from processes.rules import RuleNode
from processes.yaml_text import read_yaml_text, write_yaml_text
from runtime import Services
from tests.cli.conftest import EXAMPLES, Onward
from tests.processes.documents import process
from tests.processes.test_good_definitions import EVERYTHING
from tests.support.away import temporal_away
from tests.support.serving import serving

DOCUMENTS = {
    "everything": EVERYTHING,
    "smallest": process(),
    **{file.stem: read_yaml_text(file.read_text())["process"] for file in EXAMPLES},
}
each = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())


def values(model: BaseModel) -> Iterator[str]:
    """What is to be read of a model: each value that was given, as people write it."""
    for name in model.model_fields_set:
        yield from said(name, getattr(model, name))


def said(name: str, value: Any) -> Iterator[str]:
    """The words of a value; a name or a share of a branch as it stands there."""
    if isinstance(value, RuleNode):
        yield words(value, longest=None)
    elif isinstance(value, SignedDuration):
        yield str(value)
    elif isinstance(value, time):
        yield value.isoformat("minutes" if not value.second else "seconds")
    elif isinstance(value, BaseModel):
        yield from values(value)
    elif isinstance(value, list):
        for one in value:
            yield from said(name, one)
    elif name == "share":
        yield f"{value * 100:g} %"
    elif name in {"mode", "over", "purpose"} and value in {"once_per", "each_time", "when_finished", "skip"}:
        yield {"once_per": "once per", "skip": "is skipped"}.get(value, value.replace("_", " "))
    elif name == "then" and value == "end":
        yield "the end"
    elif name not in {"key", "zone"} or value != "contact":
        yield written(value) if value is not None else ""


@each
def test_everything_that_a_definition_says_is_shown(document: dict[str, Any]) -> None:
    definition = parse(document)
    shown = "\n".join(definition_lines(definition))
    missing = [value for value in values(definition) if value not in shown and value != definition.key]
    assert missing == []


def test_each_step_is_shown_with_its_ways_once() -> None:
    shown = "\n".join(definition_lines(parse(EVERYTHING)))
    for step in EVERYTHING["steps"]:
        assert f"\n{step['id']}: {step['type']}" in shown
    for line in (
        '45 % "a" → reply',
        "10 % held out → over",
        "after too many visits → tag",
        "on timeout → over",
    ):
        assert f"    {line}\n" in shown
    assert shown.count("→ weekday\n") == 1


@each
def test_a_definition_is_given_back_as_it_was(document: dict[str, Any]) -> None:
    definition = parse(document)
    text = write_yaml_text(editable(definition))
    assert parse(read_yaml_text(text)) == definition
    assert parse(read_yaml_text(text)).document() == definition.document()


def test_what_is_given_back_is_for_people() -> None:
    text = write_yaml_text(editable(parse(DOCUMENTS["welcome"])))
    assert "recurrence: once\n" in text
    assert "  - id: two-days\n    type: wait\n    name: Two days\n    for: 2 days\n    next: tips\n" in text


@pytest.fixture
async def away(tmp_path: Path, empty_sqlite: Path) -> AsyncIterator[Services]:
    """Parts on an empty database, with Temporal away."""
    url = f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"
    async with temporal_away(url, temporal_start_timeout=0.2) as services:
        yield services


@pytest.fixture
async def onward(away: Services) -> AsyncIterator[Onward]:
    """The command line against an API."""
    async with serving(away) as url:
        yield Onward(url)


async def test_to_apply_what_is_given_back_changes_nothing(onward: Onward, tmp_path: Path) -> None:
    applied = await onward("process", "apply", "--activate", *EXAMPLES)
    assert applied.code == 0, applied.err
    files = []
    for example in EXAMPLES:
        shown = await onward("process", "show", example.stem, "--yaml")
        assert shown.code == 0, shown.err
        files.append(tmp_path / example.name)
        files[-1].write_text(shown.out)
    again = await onward("process", "apply", "--activate", *files)
    assert again.code == 0, again.err
    for example in EXAMPLES:
        assert f"process {example.stem}: active already (version 1), nothing to change" in again.out


async def test_a_draft_and_an_older_version_are_shown(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    for number, tag in enumerate(("one", "two", "three")):
        file.write_text(write_yaml_text(process(steps=[{"id": "a", "type": "add_tag", "tag": tag}])))
        done = await onward("process", "apply", file, *(["--activate"] if number < 2 else []))
        if number == 1:
            await onward("process", "pause", "p")
    assert done.code == 0, done.err
    shown = (await onward("process", "show", "p")).out
    assert "    tag: two\n" in shown
    assert "it has changes that are not published: onward process changes p" in shown
    for options, tag in ((["--version", "1"], "one"), (["--version", "2"], "two"), (["--draft"], "three")):
        assert f"    tag: {tag}\n" in (await onward("process", "show", "p", *options)).out
        document = read_yaml_text((await onward("process", "show", "p", "--yaml", *options)).out)
        assert parse(document).by_id["a"].model_dump()["tag"] == tag
    assert (await onward("process", "show", "p", "--draft", "--version", "1")).code == 2
    assert (await onward("process", "show", "p", "--version", "9")).code == 1
    await onward("process", "cancel-edit", "p")
    assert "has no draft" in (await onward("process", "show", "p", "--draft")).err
