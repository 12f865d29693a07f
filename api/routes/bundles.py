"""Bundles: processes with the lists, segments and templates that they need, applied together or not at all."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Caller, CallerDep, allow, allow_document, must, needs
from api.bodies import JsonRoute
from api.deps import PartsDep
from api.documentation import problems
from api.models import Body, JsonObject
from api.routes.lists import ListPut
from api.routes.processes import ProcessAnswer, process_answer
from api.routes.segments import SegmentPut, parsed_rule
from api.routes.templates import TemplatePut, template_columns, template_problems
from intake.bundles import Bundle, Done, Kind, Segment
from processes.definition import ProcessDefinition, parse
from processes.problems import DocumentInvalid, Problem, pointer
from processes.rules import references
from processes.values import Key
from runtime import Services

router = APIRouter(prefix="/v1/bundles", tags=["processes"], route_class=JsonRoute)

MOST_PARTS = 200
"""Lists, segments or templates in one bundle."""


class BundleBody(Body):
    """One process, and what it needs, by key."""

    lists: dict[Key, ListPut] = Field(default_factory=dict, max_length=MOST_PARTS)
    segments: dict[Key, SegmentPut] = Field(default_factory=dict, max_length=MOST_PARTS)
    templates: dict[Key, TemplatePut] = Field(default_factory=dict, max_length=MOST_PARTS)
    process: JsonObject | None = Field(
        default=None, description="A definition with its key, as `PUT /v1/processes/{key}` takes it."
    )


class ApplyWanted(Body):
    """What is to be applied."""

    bundles: Annotated[list[BundleBody], Field(min_length=1, max_length=100)]
    activate: bool = Field(
        default=False,
        description="Publish and activate the processes. An active one stays active throughout, and who is inside "
        "finishes on the version that they began with. Needs the scope `processes:activate` too.",
    )
    dry_run: bool = Field(default=False, description="Try everything, keep nothing.")


class AppliedRow(BaseModel):
    """What became of one thing."""

    bundle: int = Field(description="Its bundle's place in the request, from 0.")
    kind: Kind
    key: str
    changed: bool
    process: ProcessAnswer | None = None


@router.post(
    "/apply",
    dependencies=[needs("processes:edit")],
    summary="Apply bundles",
    responses=problems(403, 409, 413, 415, 422),
)
async def apply_bundles(
    body: ApplyWanted, parts: PartsDep, caller: CallerDep
) -> dict[Literal["items"], list[AppliedRow]]:
    """All of it, or nothing: if anything is wrong, every process, active ones too, is as it was. Problems have the
    place of their bundle in front: `/bundles/0/process/steps/2/template`.
    """
    if body.activate and not body.dry_run:
        must(caller, "processes:activate")
    found: list[Problem] = []
    bundles = [_read(number, one, caller, found) for number, one in enumerate(body.bundles)]
    found += await _of_templates(parts.services, body.bundles)
    found += _twice(bundles)
    if found:
        raise DocumentInvalid(found)
    try:
        done = await parts.bundles.apply(
            bundles, activate=body.activate, dry_run=body.dry_run, actor=caller.actor
        )
    except DocumentInvalid as invalid:
        raise DocumentInvalid([_moved(one, pointer(["bundles"])) for one in invalid.problems]) from None
    return {"items": [_row(one) for one in done]}


def _read(number: int, body: BundleBody, caller: Caller, found: list[Problem]) -> Bundle:
    """The bundle without what is wrong with it, which is added to `found`. Raises Forbidden."""
    segments: dict[str, Segment] = {}
    for key, segment in body.segments.items():
        try:
            rule = None if segment.rule is None else parsed_rule(segment.rule)
        except DocumentInvalid as invalid:
            found += [_moved(one, pointer(["bundles", number, "segments", key])) for one in invalid.problems]
            continue
        if rule is not None:
            named = references(rule)
            allow(caller, processes=named.processes, lists=named.lists)
        segments[key] = Segment(segment.name, rule)
    allow(caller, lists=set(body.lists))
    process = _process(number, body.process, caller, found) if body.process is not None else None
    return Bundle(
        lists={key: one.name for key, one in body.lists.items()},
        segments=segments,
        templates={key: template_columns(key, one) for key, one in body.templates.items()},
        process=process,
    )


def _process(
    number: int, document: JsonObject, caller: Caller, found: list[Problem]
) -> ProcessDefinition | None:
    try:
        definition = parse(document)
    except DocumentInvalid as invalid:
        found += [_moved(one, pointer(["bundles", number, "process"])) for one in invalid.problems]
        return None
    allow(caller, processes={definition.key})
    allow_document(caller, definition.key, document)
    return definition


async def _of_templates(services: Services, bundles: Sequence[BundleBody]) -> list[Problem]:
    """What does not render, with the templates of all bundles in the place of those that there are."""
    brought = {key: template for bundle in bundles for key, template in bundle.templates.items()}
    if not brought:
        return []
    async with services.database.read() as connection:
        there = (await services.catalog.view(connection)).templates
    templates = {**there, **brought}
    return [
        _moved(problem, pointer(["bundles", number, "templates", key]))
        for number, bundle in enumerate(bundles)
        for key, template in bundle.templates.items()
        for problem in await template_problems(template, templates)
    ]


def _twice(bundles: Sequence[Bundle]) -> list[Problem]:
    """A process that stands in two bundles: which of them is meant?"""
    first: dict[str, int] = {}
    found = []
    for number, bundle in enumerate(bundles):
        if bundle.process is None:
            continue
        key = bundle.process.key
        if key in first:
            found.append(
                Problem(
                    pointer=pointer(["bundles", number, "process", "key"]),
                    message=f"process «{key}» is in bundle {first[key]} already",
                )
            )
        first.setdefault(key, number)
    return found


def _moved(problem: Problem, under: str) -> Problem:
    return problem.model_copy(update={"pointer": under + problem.pointer})


def _row(done: Done) -> AppliedRow:
    return AppliedRow(
        bundle=done.bundle,
        kind=done.kind,
        key=done.key,
        changed=done.changed,
        process=None if done.state is None else process_answer(done.state),
    )
