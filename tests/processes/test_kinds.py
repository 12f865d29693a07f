"""Kinds of steps and triggers are found by being there, each whole and each once."""

import sys
from pathlib import Path

import pytest

from processes.kinds import kinds_in
from processes.steps import StepBase

WHOLE = """
from processes.steps.base import EffectStep

class {name}(EffectStep):
    kind = "{kind}"
"""
HALF = """
from processes.steps.base import StepBase

class Half(StepBase):
    kind = "half"

    def exits(self):
        return iter(())
"""


def kinds_of(folder: Path, **modules: str) -> list[str]:
    """The kinds of a package with these modules."""
    for name, source in {"__init__": "", **modules}.items():
        (folder / f"{name}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder.parent)
        try:
            return list(kinds_in(folder.name, [str(folder)], StepBase))  # type: ignore[type-abstract]
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
                del sys.modules[name]


def test_the_models_of_a_folder_are_found_but_for_its_base(tmp_path: Path) -> None:
    first, second = WHOLE.format(name="One", kind="one"), WHOLE.format(name="Two", kind="two")
    assert kinds_of(tmp_path, two=second, one=first, base=WHOLE.format(name="Base", kind="zero")) == [
        "one",
        "two",
    ]


def test_one_that_is_not_whole_and_two_of_a_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Half lacks arrive"):
        kinds_of(tmp_path, half=HALF)
    with pytest.raises(ValueError, match="One and Two say the same kind"):
        kinds_of(
            tmp_path, half="", a=WHOLE.format(name="One", kind="x"), b=WHOLE.format(name="Two", kind="x")
        )
