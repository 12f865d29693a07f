"""A process is written from a recipe: its own templates and segments, its comments, and no old name left."""

from pathlib import Path

import pytest
import yaml

from console.recipes import recipes, written
from processes.definition import parse
from processes.validation import Surroundings, problems
from tests.cli.conftest import EXAMPLES, Onward

each = pytest.mark.parametrize("recipe", sorted(recipes()))


def test_every_example_is_a_recipe() -> None:
    assert list(recipes()) == sorted(file.stem for file in EXAMPLES)


@each
def test_a_recipe_under_its_own_key_is_the_example(recipe: str) -> None:
    (file,) = [file for file in EXAMPLES if file.stem == recipe]
    assert written(recipe, recipe, None, f"examples/{recipe}.yaml") == file.read_text()


@each
def test_two_processes_from_one_recipe_share_no_template_and_no_segment(recipe: str) -> None:
    first = yaml.safe_load(written(recipe, recipe, None, "first.yaml"))
    second = yaml.safe_load(written(recipe, "autumn", "Autumn: «new»", "autumn.yaml"))
    for kind in ("templates", "segments"):
        assert len(first.get(kind, {})) == len(second.get(kind, {}))
        assert not first.get(kind, {}).keys() & second.get(kind, {}).keys()
    around = Surroundings(
        templates=dict.fromkeys(second["templates"]),
        lists=frozenset(second.get("lists", {})),
        segments=frozenset(second.get("segments", {})),
    )
    definition = parse(second["process"])
    assert problems(definition, around) == []
    assert (definition.key, definition.name) == ("autumn", "Autumn: «new»")
    assert [step.id for step in definition.steps] == [step["id"] for step in first["process"]["steps"]]


async def test_the_command_writes_a_file_that_is_valid(nobody: Onward, tmp_path: Path) -> None:
    file = tmp_path / "spring.yaml"
    said = await nobody("process", "new", "--recipe", "welcome", "--key", "spring", "--out", file)
    assert said.code == 0, said.err
    assert f"onward process apply --activate {file}" in said.out
    assert (await nobody("process", "validate", "--offline", file)).code == 0
    assert "# A welcome series" in file.read_text()


async def test_a_file_that_is_there_is_kept(nobody: Onward, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    said = await nobody("process", "new", "--recipe", "welcome", "--out", file)
    assert said.code == 1
    assert "was not written" in said.err
    assert file.read_text() == "mine"


async def test_without_a_recipe_they_are_listed_and_an_unknown_one_is_refused(nobody: Onward) -> None:
    listed = await nobody("process", "new")
    assert all(name in listed.out for name in recipes())
    said = await nobody("process", "new", "--recipe", "nothing")
    assert said.code == 1
    assert "There is no recipe «nothing»." in said.err
    assert "welcome" in said.err


async def test_a_key_that_cannot_be_one_is_named(nobody: Onward) -> None:
    said = await nobody("process", "new", "--recipe", "welcome", "--key", "Bad Key", "--out", "-")
    assert said.code == 1
    assert "/process/key" in said.err
    assert said.out == ""
