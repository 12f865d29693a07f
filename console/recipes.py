"""Recipes: ready processes to start from (P8). Each is a bundle in `examples/`, and works as it is."""

import re
from pathlib import Path
from typing import Any

from console.bundles import read_yaml

FOLDER = Path(__file__).parent.parent / "examples"
OWN = ("templates", "segments")
"""What a process made from a recipe gets of its own; lists are shared."""


def recipes() -> dict[str, str]:
    """The name of each recipe's process, by the recipe's key."""
    return {file.stem: str(read_yaml(file)["process"]["name"]) for file in sorted(FOLDER.glob("*.yaml"))}


def written(recipe: str, key: str, name: str | None, file: str) -> str:
    """The text of a recipe for a process with another key (and name), comments and all.

    Templates and segments are renamed with it, so that two processes from one recipe change each their own. `file` is
    the name that its comment tells people to apply.
    """
    path = FOLDER / f"{recipe}.yaml"
    bundle: dict[str, Any] = read_yaml(path)
    text = path.read_text(encoding="utf-8").replace(f"examples/{recipe}.yaml", file)
    if key != recipe:
        for kind in OWN:
            for old in bundle.get(kind, {}):
                text = _renamed(text, kind.removesuffix("s"), old, _new_key(recipe, key, old))
    before, process = re.split(r"(?m)^(?=process:$)", text, maxsplit=1)
    process = re.sub(rf"(?m)^  key: {re.escape(recipe)}$", lambda _: f"  key: {key}", process, count=1)
    if name is not None:
        from processes.yaml_text import write_yaml_text

        line = write_yaml_text({"name": name}, longest_line=1000).strip()
        process = re.sub(r"(?m)^  name: .*$", lambda _: f"  {line}", process, count=1)
    return before + process


def _new_key(recipe: str, key: str, old: str) -> str:
    if old == recipe or old.startswith(f"{recipe}-"):
        return key + old.removeprefix(recipe)
    return f"{key}-{old}"


def _renamed(text: str, kind: str, old: str, new: str) -> str:
    """Where it is made (a key of the bundle), and wherever a step or a rule names it."""
    made = re.sub(rf"(?m)^  {re.escape(old)}:(?=\s)", lambda _: f"  {new}:", text)
    return re.sub(rf"\b{kind}: {re.escape(old)}(?![\w-])", lambda _: f"{kind}: {new}", made)
