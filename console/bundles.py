"""Files of a process and what it needs beside it: read, checked, handed to the API."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from console.api_client import Api, one_part
from console.failures import Failure, Refused
from console.output import object_of, version_words

BUNDLE_KEYS = ("lists", "segments", "templates", "process")


def read_bundle(file: Path) -> tuple[dict[str, Any], str]:
    """A file as a bundle, and what stands before pointers into its process."""
    document = read_yaml(file)
    if not isinstance(document, dict):
        raise Failure(
            f"{file} is not an object with key, name, steps, …, and no bundle with {', '.join(BUNDLE_KEYS)}."
        )
    if "steps" in document or "key" in document:
        return {"process": document}, ""
    unknown = sorted(map(str, set(document) - set(BUNDLE_KEYS)))
    if unknown:
        problems = [(f"/{name}", "unknown field") for name in unknown]
        raise Failure(f"{file} is not a bundle: it may have {', '.join(BUNDLE_KEYS)}.", None, problems)
    wrong = [(f"/{name}", "must be an object") for name in document if not isinstance(document[name], dict)]
    wrong += [
        (f"/{name}/{key}", "must be an object")
        for name in BUNDLE_KEYS[:3]
        if isinstance(document.get(name), dict)
        for key, value in document[name].items()
        if not isinstance(value, dict)
    ]
    if wrong:
        raise Failure(f"{file} is not valid.", None, wrong)
    return document, "/process"


def apply_bundle(client: Api, bundle: Mapping[str, Any], activate: bool) -> Iterator[tuple[str, Any]]:
    """Send everything in an order in which what is referred to exists; yields what was done and the reply.

    Raises Failure before anything is sent where the process is active and is not to be changed.
    """
    process = bundle.get("process")
    key = str((process or {}).get("key", ""))
    place = f"/processes/{one_part(key)}"
    if process is not None and not activate and _status(client, place) == "active":
        raise Failure(
            f"Process {key} is active.",
            "With --activate it is paused, changed and activated again. Nothing was changed.",
        )
    for kind in BUNDLE_KEYS[:3]:
        for part, value in bundle.get(kind, {}).items():
            reply = client.put(f"/{kind}/{one_part(str(part))}", {"name": part, **value})
            yield f"{kind.removesuffix('s')} {part}", reply
    if process is None:
        return
    try:
        reply = client.put(place, process)
    except Refused as refused:
        current = client.get(place) if refused.status == 409 else {}
        if current.get("status") != "active":
            raise
        if same_text(current.get("definition"), process):
            yield f"process {key}: active already{version_words(current)}, nothing to change", current
            return
        yield f"process {key}: paused for the change", client.post(f"{place}/pause")
        reply = client.put(place, process)
    yield f"process {key}: draft saved", reply
    if activate:
        reply = client.post(f"{place}/activate")
        yield f"process {key}: active{version_words(reply)}", reply


def _status(client: Api, place: str) -> str | None:
    try:
        return str(client.get(place).get("status"))
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


def same_text(stored: Any, written: Any) -> bool:
    from processes.definition import parse
    from processes.problems import DocumentInvalid

    try:
        return parse(stored).document() == parse(written).document()
    except DocumentInvalid:
        return False


def problems_offline(bundle: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    from pydantic import ValidationError

    from channels.templates import TemplateSource, check
    from processes.definition import parse
    from processes.problems import DocumentInvalid, problems_of

    found: list[tuple[str, str]] = []
    for key, template in bundle.get("templates", {}).items():
        parts = {name: template[name] for name in TemplateSource.model_fields if name in template}
        try:
            source = TemplateSource.model_validate(parts)
        except ValidationError as error:
            found += [(p.pointer, p.message) for p in problems_of(error, parts, under=["templates", key])]
            continue
        for problem in check(source):
            line = "" if problem.line is None else f"line {problem.line}: "
            found.append((f"/templates/{key}/{problem.part}", f"{line}{problem.message}"))
    if "process" in bundle:
        try:
            parse(bundle["process"])
        except DocumentInvalid as invalid:
            found += [(f"{prefix}{p.pointer}", p.message) for p in invalid.problems]
    return found


def problems_online(api: str, bundle: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    """What the API finds, without what is missing there and comes with the bundle."""
    comes = {
        f"there is no {kind.removesuffix('s')} «{key}»"
        for kind in BUNDLE_KEYS[:3]
        for key in bundle.get(kind, {})
    }
    with Api(api) as client:
        try:
            reply = client.post("/processes/validate", bundle["process"])
        except Refused as refused:
            if not refused.problems:
                raise
            found = list(refused.problems)
        else:
            listed = object_of(reply).get("errors") or object_of(reply).get("problems") or []
            found = [(str(e.get("pointer", "")), str(e.get("message", ""))) for e in listed]
    return [(f"{prefix}{pointer}", message) for pointer, message in found if message not in comes]


def read_text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read.", str(error)) from error


def read_json(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except ValueError as error:
        raise Failure(f"{file} is not JSON.", str(error)) from error


def read_yaml(file: Path) -> Any:
    try:
        return yaml_of(read_text(file))
    except ValueError as error:
        raise Failure(f"{file} is neither YAML nor JSON.", str(error)) from error


def yaml_of(text: str) -> Any:
    """A YAML (or JSON) text. Raises ValueError."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Dates stay texts, as JSON has them."""

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader)  # noqa: S506, a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
