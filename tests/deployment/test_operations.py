"""docs/operations.md is followed at night: every command, variable, metric and section that it names is there."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from prometheus_client import REGISTRY, CollectorRegistry
from typer.core import TyperGroup

from activities import metrics as worker_metrics
from api.metrics import Metrics
from cli import app
from deploy.settings_table import settings
from intake.doctor import findings
from tests.support.temporal import TEMPORAL

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "operations.md").read_text()
FENCES = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE))
ASSIGNMENT = re.compile(r"^[A-Z_]+=\S*$")


def commands(program: str) -> Iterator[list[str]]:
    """The words of each command of a program, without what stands before the program and without comments."""
    for line in [*(line for fence in FENCES for line in fence.splitlines()), *INLINE]:
        if program not in line:
            continue
        words = shlex.split(line, comments=True)
        while words and ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words[:1] == [program] and len(words) > 1:
            yield words[1:]


ONWARD = [pytest.param(words, id=" ".join(words)) for words in commands("onward")]
TEMPORALS = [pytest.param(words, id=" ".join(words)) for words in commands("temporal")]


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("-")]


@pytest.mark.parametrize("words", ONWARD)
def test_a_command_of_ours_is_there_with_its_options(words: list[str]) -> None:
    command = typer.main.get_command(app)
    given = list(words)
    while isinstance(command, TyperGroup):
        name = given.pop(0)
        assert name in command.commands, f"there is no `onward {name}`"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(options(given)) <= known


@pytest.mark.parametrize("words", TEMPORALS)
def test_a_command_of_temporals_is_there_with_its_options(words: list[str]) -> None:
    name: list[str] = []
    for word in words:
        if word.startswith("-"):
            break
        name.append(word)
    shown = subprocess.run(
        [TEMPORAL, *name, "--help"], capture_output=True, text=True, check=True, env={**os.environ}
    ).stdout
    assert f"temporal {' '.join(name)}" in re.sub(r"\s+", " ", shown)
    assert set(options(words)) <= set(re.findall(r"--?[a-z][a-z-]*", shown))


def test_every_variable_is_a_setting() -> None:
    named = set(re.findall(r"\bONWARD_[A-Z_]*[A-Z]\b", PAGE))
    of_the_command_line = {"ONWARD_API_KEY"}
    assert named - {setting.variable for setting in settings()} == of_the_command_line
    assert len(named) > 10


def test_every_metric_of_ours_is_one() -> None:
    named = set(re.findall(r"`(onward_[a-z_]+)(?:\{[^`]*\})?`", PAGE))
    assert worker_metrics.STEPS is not None
    there = names(REGISTRY) | names(Metrics().registry)
    assert named - there == set()
    assert {name for name in there if name.startswith("onward_")} - named == set(), (
        "a metric without its meaning"
    )


def test_every_finding_of_the_doctor_is_one() -> None:
    kinds = {kind.key for kind in vars(findings).values() if isinstance(kind, findings.Kind)}
    named = {word for word in INLINE if re.fullmatch(r"[a-z]+(-[a-z]+)+", word)}
    assert named - kinds == set()
    assert len(named) > 5


def names(registry: CollectorRegistry) -> set[str]:
    """The metrics as Prometheus shows them."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()
    }


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_every_link_leads_somewhere(link: str) -> None:
    path, _, section = link.partition("#")
    text = (DOCS / path).read_text() if path else PAGE
    headings = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert not section or section in anchors
