"""A step kind is four things: a model, an activity where it acts, a module of tests, and a row in docs/steps.md."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from activities.base import StepActivity
from activities.registry import step_activities
from processes.steps import STEP_KINDS

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| `(?P<kind>[a-z_]+)` \| (?P<cells>.*) \|$", re.MULTILINE)
NO_KIND = {"test_registry.py"}
OF_EVERY_KIND = {"id", "name", "type", "max_visits", "on_max_visits"}
"""Fields that the page tells above its table."""


def rows() -> dict[str, list[str]]:
    """The cells of each row in docs/steps.md, by kind."""
    text = (ROOT / "docs" / "steps.md").read_text()
    return {found["kind"]: [c.strip() for c in found["cells"].split(" | ")] for found in ROW.finditer(text)}


@pytest.mark.parametrize("kind", sorted(STEP_KINDS))
def test_a_kind_has_its_model_its_activity_its_tests_and_its_row(kind: str) -> None:
    model = STEP_KINDS[kind]
    assert model.__module__ == f"processes.steps.{kind}"
    assert (kind in step_activities()) == model.acts
    if model.acts:
        assert step_activities()[kind].model is model
        assert step_activities()[kind].__module__ == f"activities.steps.{kind}"
    tests = import_module(f"tests.steps.test_{kind}")
    assert any(name.startswith(("test_", "Test")) for name in vars(tests))
    assert (tests.__doc__ or "").startswith(f"{kind}: ")
    does, fields, recorded, source = rows()[kind]
    assert does
    assert recorded
    assert source == re.search(r"\((S\d+)\)", import_module(model.__module__).__doc__ or "")[1]  # type: ignore[index]
    own = {f.alias or name for name, f in model.model_fields.items()} - OF_EVERY_KIND
    assert set(re.findall(r"`([a-z_]+)`", fields)) == own


def test_nothing_is_left_over_of_a_kind_that_is_gone() -> None:
    found = {path.name for path in (ROOT / "tests" / "steps").glob("test_*.py")}
    assert found - NO_KIND == {f"test_{kind}.py" for kind in STEP_KINDS}
    assert rows().keys() == STEP_KINDS.keys()
    assert step_activities().keys() == {kind for kind, model in STEP_KINDS.items() if model.acts}
    assert all(issubclass(found, StepActivity) for found in step_activities().values())
