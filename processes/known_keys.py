"""Which keys may stand at a place of a document, by the model that it is read with. Pure."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import TypeAliasType


def keys_at(model: type[BaseModel], location: Sequence[int | str]) -> frozenset[str]:
    """The keys of the object at one of pydantic's locations; empty if it is none, or one of any keys."""
    here: list[Any] = [model]
    for part in location:
        here = [inner for one in here for inner in _inside(one, part)]
    return frozenset(key for one in here for key in _keys(one))


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _inside(model: type[BaseModel], part: int | str) -> Iterator[Any]:
    """The models behind a part: that of a field or of a list's item, or of a union's member by its tag."""
    if isinstance(part, int) or part == _tag(model):
        yield model
        return
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            yield from _models(field.annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, TypeAliasType):
        return  # a rule: it says itself what it may have
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _models(member)
    elif get_origin(annotation) is not None:
        yield from _models(get_args(annotation)[0])


def _tag(model: type[BaseModel]) -> str | None:
    """By what a union knows the model: the literal of its `type` or `mode`."""
    for name in ("type", "mode"):
        field = model.model_fields.get(name)
        if field is not None and len(found := get_args(field.annotation)) == 1:
            return str(found[0])
    return None
