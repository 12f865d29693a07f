"""What the command line says without an API: files that are wrong, words that are not understood, settings."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import cli
from channels import rendering
from channels.rendering import RenderPool
from console.bundles import BundleFile, problems_offline
from tests.cli.conftest import CLI, ROOT, Onward


async def test_validate_names_every_wrong_place(nobody: Onward, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    bundle = yaml.safe_load((ROOT / "examples" / "welcome.yaml").read_text())
    bundle["process"]["steps"][0]["next"] = "nowhere"
    bundle["process"]["colour"] = "red"
    bundle["templates"]["welcome-tips"]["subject"] = "{{ contact.name | nofilter }}"
    file.write_text(yaml.safe_dump(bundle))
    said = await nobody("process", "validate", file)
    assert said.code == 1
    assert "/process/colour: unknown field" in said.err
    assert "/templates/welcome-tips/subject: line 1:" in said.err
    found = (await nobody("process", "validate", "--json", file)).json
    assert found["valid"] is False
    del bundle["process"]["colour"]
    file.write_text(yaml.safe_dump(bundle))
    said = await nobody("process", "validate", file)
    assert "/process/steps/0/next: there is no step «nowhere»" in said.err


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A rendering process that stops whatever it reads: less than the kernel's clock can tell."""
    pool = RenderPool(1, seconds=0.000_001)
    monkeypatch.setattr(rendering, "render_pool", lambda: pool)
    yield
    pool.close()


@pytest.mark.usefixtures("impatient")
def test_a_template_that_runs_away_is_stopped_and_named() -> None:
    templates = {"t": {"subject": "s", "text": "{% assign a = 1 %}" * 250}}
    (problem,) = problems_offline(BundleFile("f.yaml", {"templates": templates}, "/process", "templates: {}"))
    assert problem.pointer == "/templates/t/text"
    assert "seconds of processor time" in problem.message


def test_a_template_may_render_another_of_its_file() -> None:
    templates = {"t": {"subject": "s", "text": "{% render 'u' %}"}, "u": {"subject": "s", "text": "u"}}
    assert problems_offline(BundleFile("f.yaml", {"templates": templates}, "/process", "templates: {}")) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("steps: [", "neither YAML nor JSON"),
        ("key: a\nsteps:\n\t- id: b", "a tab cannot indent a line: use spaces (line 3, column 1)"),
        (
            "key: a\nname: b\nkey: c",
            'the key "key" stands twice, the first time at line 1 (line 3, column 1)',
        ),
        ("- 1", "is not an object"),
        ("process: {key: a}\nprocesses: {}", "/processes: unknown key; did you mean «process»? (line 2)"),
        ("process: 5", "/process: must be an object"),
    ],
)
async def test_a_file_that_is_no_process_is_refused(
    nobody: Onward, tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(content)
    refused = await nobody("process", "apply", file)
    assert refused.code == 1
    assert said in refused.err


async def test_an_api_that_does_not_answer_is_named_with_what_to_do(nobody: Onward) -> None:
    said = await nobody("instances")
    assert said.code == 1
    assert said.err.startswith(f"Error: The API at {nobody.url} does not answer.\n")
    assert "onward dev" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["event", "send"],
        ["event", "send", "seen", "--file", "x.json"],
        ["event", "send", "seen", "--param", "no-value"],
        ["stop"],
        ["stop", "a/b", "--process", "c", "--contact", "d"],
        ["stop", "--process", "c"],
        ["nonsense"],
    ],
)
async def test_what_is_not_understood_ends_with_2(nobody: Onward, arguments: list[str]) -> None:
    said = await nobody(*arguments)
    assert said.code == 2
    assert "Traceback" not in said.err


def test_help_imports_nothing_heavy() -> None:
    heavy = {"fastapi", "httpx", "pydantic", "sqlalchemy", "temporalio", "yaml"}
    code = f"import sys, cli; print(sorted({heavy} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, CLI, "worker"],
        cwd=tmp_path,
        env={"ONWARD_SMTP_PORT": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1
    assert "  ONWARD_SMTP_PORT: " in said.stderr


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of each command."""
    if not hasattr(command, "commands"):
        yield path
        return
    for name, one in command.commands.items():
        yield from commands(one, *path, name)


def test_every_command_stands_in_the_documentation() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    known = list(commands(typer.main.get_command(cli.app), "onward"))
    assert len(known) > 40
    for *group, name in known:
        assert re.search(rf"{' '.join(group)} (?:[\w-]+\|)*{name}\b", text), (group, name)
