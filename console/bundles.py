"""Files of a process and what it needs beside it: read, checked, handed to the API."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from console.api_client import Api
from console.failures import Failure, Problem, Refused, why_not_read
from console.output import items_of, object_of, version_words
from processes.suggestions import did_you_mean

BUNDLE_KEYS = ("lists", "segments", "templates", "process")
_OF_BUNDLE = re.compile(r"/bundles/(?P<number>[0-9]+)(?P<rest>(?:/.*)?)")


def read_bundle(file: Path) -> "BundleFile":
    """A file as a bundle."""
    text = read_text(file)
    document = _parsed(text, file)
    if not isinstance(document, dict):
        raise Failure(
            f"{file} is not an object with key, name, steps, …, and no bundle with {', '.join(BUNDLE_KEYS)}."
        )
    if "steps" in document or "key" in document:
        return BundleFile(str(file), {"process": document}, "", text)
    unknown = sorted(map(str, set(document) - set(BUNDLE_KEYS)))
    if unknown:
        problems = [
            _located(f"/{name}", f"unknown key{did_you_mean(name, BUNDLE_KEYS)}", text) for name in unknown
        ]
        raise Failure(f"{file} is not a bundle: it may have {', '.join(BUNDLE_KEYS)}.", None, problems)
    wrong = [
        _located(f"/{name}", "must be an object: keys with values below it", text)
        for name in document
        if not isinstance(document[name], dict)
    ]
    wrong += [
        _located(f"/{name}/{key}", "must be an object: keys with values below it", text)
        for name in BUNDLE_KEYS[:3]
        if isinstance(document.get(name), dict)
        for key, value in document[name].items()
        if not isinstance(value, dict)
    ]
    if wrong:
        raise Failure(f"{file} is not valid.", None, wrong)
    return BundleFile(str(file), document, "/process", text)


@dataclass(frozen=True)
class BundleFile:
    """A bundle as it was read. `prefix` is what stands before pointers into its process, in the file."""

    name: str
    bundle: Mapping[str, Any]
    prefix: str
    text: str

    def body(self) -> dict[str, Any]:
        """As the API takes it; what has no name is called by its key."""
        named = {
            kind: {str(key): {"name": str(key), **value} for key, value in self.bundle.get(kind, {}).items()}
            for kind in BUNDLE_KEYS[:3]
        }
        process = self.bundle.get("process")
        return named if process is None else {**named, "process": process}

    def place(self, below: str) -> str:
        """A pointer into the bundle, as a pointer into the file."""
        rest = below.removeprefix("/process")
        return f"{self.prefix}{rest}" if below == f"/process{rest}" else below


def apply_bundles(client: Api, files: Sequence[BundleFile], *, activate: bool) -> list[Mapping[str, Any]]:
    """Apply everything, or nothing. What was done, in its order. Raises Failure, with places in the files."""
    return _sent(client, files, activate=activate, dry_run=False)


def done_words(done: Mapping[str, Any]) -> str:
    """What became of one thing of a bundle."""
    process = done.get("process")
    if process is None:
        return f"{done['kind']} {done['key']}"
    if process["status"] != "active":
        return f"process {done['key']}: draft saved"
    if done["changed"]:
        return f"process {done['key']}: active{version_words(process)}"
    return f"process {done['key']}: active already{version_words(process)}, nothing to change"


def _sent(
    client: Api, files: Sequence[BundleFile], *, activate: bool, dry_run: bool
) -> list[Mapping[str, Any]]:
    body = {"bundles": [file.body() for file in files], "activate": activate, "dry_run": dry_run}
    try:
        return items_of(client.post("/bundles/apply", body))
    except Refused as refused:
        refused.problems = [_in_its_file(problem, files) for problem in refused.problems]
        raise


def _in_its_file(problem: Problem, files: Sequence[BundleFile]) -> Problem:
    found = _OF_BUNDLE.fullmatch(problem.pointer)
    if found is None or int(found["number"]) >= len(files):
        return problem
    file = files[int(found["number"])]
    own = file.place(found["rest"])
    return replace(
        problem,
        pointer=own,
        file=file.name if len(files) > 1 else None,
        line=line_of(file.text, own),
    )


def problems_offline(file: BundleFile) -> list[Problem]:
    """What can be found wrong without the API: shapes, graphs, and what of the templates needs nothing else. Templates
    are read in a process of their own, which is stopped if one does not come back.
    """
    from pydantic import ValidationError

    from channels.rendering import problems_here
    from channels.templates import TemplateSource
    from processes.definition import parse
    from processes.problems import DocumentInvalid, problems_of
    from processes.yaml_lines import lines

    bundle = file.bundle
    found: list[tuple[str, str, str | None]] = []
    sources: dict[str, TemplateSource] = {}
    for key, template in bundle.get("templates", {}).items():
        parts = {name: template[name] for name in TemplateSource.model_fields if name in template}
        try:
            sources[key] = TemplateSource.model_validate(parts)
        except ValidationError as error:
            found += [
                (p.pointer, p.message, None) for p in problems_of(error, parts, under=["templates", key])
            ]
    for key, source in sources.items():
        for problem in problems_here(source, sources):
            line = "" if problem.line is None else f"line {problem.line}: "
            found.append((f"/templates/{key}/{problem.part}", f"{line}{problem.message}", None))
    if "process" in bundle:
        try:
            parse(bundle["process"])
        except DocumentInvalid as invalid:
            found += [(f"{file.prefix}{p.pointer}", p.message, p.step) for p in invalid.problems]
    at = lines(file.text, [place for place, _, _ in found])
    return [Problem(place, message, step, at.get(place)) for place, message, step in found]


def problems_online(api: str, file: BundleFile) -> tuple[list[Problem], list[Problem]]:
    """What the API finds wrong, and what it warns of: everything is tried there, and nothing kept."""
    with Api(api) as client:
        try:
            done = _sent(client, [file], activate=True, dry_run=True)
        except Refused as refused:
            if not refused.problems:
                raise
            return list(refused.problems), []
    return [], warnings_of(done, [file])


def warnings_of(done: Sequence[Mapping[str, Any]], files: Sequence[BundleFile]) -> list[Problem]:
    """What the API warns of, with places in the files."""
    found = []
    for one in done:
        for warning in object_of(one.get("process")).get("warnings") or []:
            problem = Problem.read(warning)
            found.append(
                _in_its_file(
                    replace(problem, pointer=f"/bundles/{one['bundle']}/process{problem.pointer}"), files
                )
            )
    return found


def read_text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read.", why_not_read(error)) from error


def read_json(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Failure(f"{file} is not JSON.", f"{error.msg} ({where})") from error
    except (ValueError, RecursionError) as error:
        raise Failure(f"{file} is not JSON.", "It is nested too deep, or has a number too long.") from error


def read_yaml(file: Path) -> Any:
    return _parsed(read_text(file), file)


def _parsed(text: str, file: Path) -> Any:
    try:
        return yaml_of(text)
    except ValueError as error:
        raise Failure(f"{file} is neither YAML nor JSON.", str(error)) from error


def _located(pointer: str, message: str, text: str) -> Problem:
    return Problem(pointer, message, line=line_of(text, pointer))


def line_of(text: str, pointer: str) -> int | None:
    """The line of a place in a YAML text; None where the text has none."""
    from processes.yaml_lines import lines

    return lines(text, [pointer]).get(pointer)


def yaml_of(text: str) -> Any:
    """A YAML (or JSON) text. Raises ValueError."""
    from processes.yaml_text import read_yaml_text

    return read_yaml_text(text)
