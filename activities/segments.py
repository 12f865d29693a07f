"""What the steps that change a segment made by hand share."""

from activities.base import Held
from activities.scene import Scene


def made_by_hand(segment: str, scene: Scene) -> str:
    """The segment's key. Raises Held where there is no such segment, or it has a rule: a person must mend that."""
    if segment not in scene.view.segments:
        raise Held(f"there is no segment «{segment}»")
    if scene.view.segments[segment] is not None:
        raise Held(f"segment «{segment}» has a rule: its members cannot be changed by a step")
    return segment
