"""Every definition in the docs can be read, and the tables name what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes.definition import ProcessDefinition, parse
from processes.steps import STEP_KINDS
from processes.triggers import TRIGGER_KINDS

DOCS = Path(__file__).parent.parent.parent / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
AROUND = {"key": "p", "name": "P", "recurrence": "once"}
"""What a block that shows steps only leaves out."""


def blocks(name: str) -> list[Any]:
    """The YAML blocks of a page."""
    return [yaml.safe_load(found) for found in BLOCK.findall((DOCS / name).read_text())]


EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("processes.md", "steps.md", "tracking.md")
    for number, block in enumerate(blocks(name), 1)
]


@pytest.mark.parametrize("block", EXAMPLES)
def test_a_block_in_the_docs_is_a_definition(block: dict[str, Any]) -> None:
    assert parse(AROUND | block).steps


def test_the_pages_show_every_kind_of_step() -> None:
    shown = {
        step["type"] for name in ("steps.md", "processes.md") for b in blocks(name) for step in b["steps"]
    }
    assert shown == STEP_KINDS.keys()


def test_the_page_names_every_field_and_every_trigger() -> None:
    page = (DOCS / "processes.md").read_text()
    for name, field in ProcessDefinition.model_fields.items():
        assert (
            f"| `{field.alias or name}`" in page or f"`{field.alias or name}`" in page.split("## Triggers")[0]
        )
    assert all(f"`{kind}`" in page for kind in TRIGGER_KINDS)


@pytest.mark.parametrize("path", sorted(DOCS.parent.glob("examples/*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_definition(path: Path) -> None:
    assert parse(yaml.safe_load(path.read_text())["process"]).key == path.stem
