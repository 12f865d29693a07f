"""Kinds that are found by being there: the models of a folder, of steps or of triggers, by their kind."""

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import TypeVar

_BASE = "base"

Model = TypeVar("Model")


def kinds_in(package: str, path: Iterable[str], base: type[Model]) -> dict[str, type[Model]]:
    """Every model of the package's modules that is a `base` and says its own `kind`. `path` is the package's.

    Raises TypeError for one that is not whole, ValueError where two say the same.
    """
    found: dict[str, type[Model]] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(path)):
        if name == _BASE:
            continue
        for value in vars(import_module(f"{package}.{name}")).values():
            if not isinstance(value, type) or not issubclass(value, base) or "kind" not in vars(value):
                continue
            if missing := sorted(getattr(value, "__abstractmethods__", ())):
                raise TypeError(f"{value.__name__} lacks {', '.join(missing)}")
            first = found.setdefault(vars(value)["kind"], value)
            if first is not value:
                raise ValueError(f"{first.__name__} and {value.__name__} say the same kind")
    return found
