"""Rows of visits: what a step did, kept with the instruction that follows it."""

from typing import Any

from pydantic import TypeAdapter

from activities.scene import Scene
from processes.instructions import Instruction
from processes.planning import Passed

_INSTRUCTION: TypeAdapter[Instruction] = TypeAdapter(Instruction)


def read_instruction(stored: dict[str, Any]) -> Instruction:
    """An instruction as it was recorded with a visit."""
    return _INSTRUCTION.validate_python(stored)


def visit_row(scene: Scene, passed: Passed, following: Instruction | None) -> dict[str, Any]:
    """The row of a visit; `following` is None where nothing was decided yet."""
    return {
        "instance_id": scene.instance,
        "step": passed.step,
        "visit": passed.visit,
        "kind": passed.kind,
        "at": scene.now,
        "result": passed.result,
        "next": None if following is None else following.model_dump(mode="json", exclude_unset=True),
    }
