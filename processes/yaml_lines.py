"""On which line of a YAML (or JSON) text something stands, so that a problem can be found in the file. Pure.

The text is read by the one reader that there is (`processes/yaml_text.py`).
"""

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from processes.yaml_text import YamlUnreadable, compose_yaml_text

DEEPEST = 100


def lines(text: str | bytes, pointers: Collection[str]) -> Mapping[str, int]:
    """The line (from 1) of each JSON Pointer; of one that names nothing, the line of the nearest place around it.

    Nothing for a text that is no YAML.
    """
    try:
        root = compose_yaml_text(text)
    except YamlUnreadable:
        return {}
    if root is None:
        return {}
    return {pointer: _line(root, pointer) for pointer in pointers}


def _line(root: Any, pointer: str) -> int:
    here, line = root, root.start_mark.line
    for part in pointer.split("/")[1:DEEPEST]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, yaml.MappingNode):
            entry = next(((key, value) for key, value in here.value if key.value == name), None)
            if entry is None:
                break
            line, here = entry[0].start_mark.line, entry[1]
        elif isinstance(here, yaml.SequenceNode) and name.isdecimal() and int(name) < len(here.value):
            here = here.value[int(name)]
            line = here.start_mark.line
        else:
            break
    return int(line) + 1
