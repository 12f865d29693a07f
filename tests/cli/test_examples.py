"""The examples are documents that work as they are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from channels.templates import TemplateSource, check
from dev.demo import FILES
from processes.definition import ProcessDefinition, parse
from processes.recurrence import OncePer
from processes.rules import parse_rule
from processes.triggers.schedules import scheduled
from processes.validation import Surroundings, problems
from tests.cli.conftest import EXAMPLES, Onward

each = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    """A bundle."""
    bundle: dict[str, Any] = yaml.safe_load(file.read_text())
    return bundle


def process(name: str) -> ProcessDefinition:
    """The process of an example."""
    (file,) = [file for file in EXAMPLES if file.stem == name]
    return parse(read(file)["process"])


@each
def test_an_example_needs_nothing_that_it_does_not_bring(file: Path) -> None:
    bundle = read(file)
    around = Surroundings(
        templates=dict.fromkeys(bundle["templates"]),
        lists=frozenset(bundle.get("lists", {})),
        segments=frozenset(bundle.get("segments", {})),
    )
    assert problems(parse(bundle["process"]), around) == []


@each
def test_every_template_of_an_example_renders(file: Path) -> None:
    for key, template in read(file)["templates"].items():
        parts = {name: template[name] for name in TemplateSource.model_fields if name in template}
        assert check(TemplateSource.model_validate(parts)) == [], key


@each
def test_every_segment_of_an_example_is_a_rule(file: Path) -> None:
    for segment in read(file).get("segments", {}).values():
        parse_rule(segment["rule"])


@each
async def test_the_command_line_finds_an_example_valid(file: Path, nobody: Onward) -> None:
    said = await nobody("process", "validate", "--offline", file)
    assert said.code == 0, said.err
    assert "is valid" in said.out


def test_the_demo_shows_every_example_that_does_not_wait_for_a_time_of_day() -> None:
    assert sorted(FILES) == [file.name for file in EXAMPLES if not scheduled(process(file.stem).triggers)]


def test_each_example_has_the_recurrence_of_its_kind() -> None:
    modes = {file.stem: process(file.stem).recurrence.mode for file in EXAMPLES}
    assert modes == {
        "abandoned-cart": "once_per",
        "birthday": "when_finished",
        "click-followup": "once",
        "date-reminder": "each_time",
        "order-confirmation": "each_time",
        "welcome": "once",
        "win-back": "once_per",
    }
    cart = process("abandoned-cart").recurrence
    assert isinstance(cart, OncePer)
    assert str(cart.period) == "1 hour"


def test_marketing_mail_offers_to_unsubscribe() -> None:
    for file in EXAMPLES:
        bundle = read(file)
        for template in bundle["templates"].values():
            offered = "unsubscribe_url" in template["mjml"]
            assert offered == (bundle["process"].get("purpose") != "transactional")
