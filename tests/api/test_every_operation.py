"""Every operation of the API by schemathesis: whatever the OpenAPI document allows, and what it does not, is answered
as the document says, and never by an error of ours.

The app is served over HTTP on a real database; requests leave from a thread, since schemathesis is not async. By hand,
for as long as it takes: `pytest tests/api/test_every_operation.py --hypothesis-profile=deep --timeout=0`.
"""

import asyncio
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from pydantic import SecretStr
from schemathesis.checks import CHECKS, load_all_checks, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from api.app import create_app
from runtime import Services
from tests.api.conftest import process
from tests.support.serving import serving

EXAMPLES = 1
"""Requests of each operation; a profile of hypothesis says otherwise."""
SEGMENT_KEY, BOUNCES_SECRET = "segment-key", "bounces-secret"
SEGMENT = frozenset({"identify", "track", "page", "screen", "group", "alias", "batch", "import"})
SAID_UNAVAILABLE = frozenset({"GET /health/ready", "POST /v1/templates/{key}/test"})
"""Temporal and the mail server are away here, and these two say so with a 503."""
NOT_FED = frozenset({"POST /v1/bounces/mail"})
"""A whole mail is none of the bodies that schemathesis makes; `tests/channels/test_returned.py` makes them."""

Case = Any
Send = Callable[..., requests.Response]


@pytest.fixture
async def service(away: Services) -> Services:
    """With keys, so that nothing is refused before it is read."""
    away.settings.segment_write_keys = (SecretStr(SEGMENT_KEY),)
    away.settings.bounces_secret = SecretStr(BOUNCES_SECRET)
    return away


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_every_operation_answers_as_its_document_says(service: Services) -> None:
    document = create_app(service).openapi()
    async with serving(service) as url:
        failures = await asyncio.to_thread(explore, document, url, examples())
    assert failures == []


def examples() -> int:
    """Of the profile that runs, where somebody chose one."""
    chosen = hypothesis.settings().max_examples
    return EXAMPLES if chosen == 100 else chosen


def explore(document: dict[str, Any], url: str, most: int) -> list[str]:
    """Ask every operation; returns what was answered wrongly, once for each operation and kind."""
    load_all_checks()
    conformance = ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    checks = [not_a_server_error, *CHECKS.get_by_names(conformance)]
    found: dict[tuple[str, str], str] = {}
    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.trust_env = False
        known = seed(session, url)
        asked = 0
        for result in schemathesis.openapi.from_dict(document).get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            if operation.label in NOT_FED:
                continue
            asked += 1
            for case, response in answers(operation, known, session, url, most):
                if response.status_code == 503 and operation.label in SAID_UNAVAILABLE:
                    continue
                try:
                    case.validate_response(response, checks=checks)
                except (Failure, FailureGroup) as failure:
                    words = f"{operation.label}: {failure}\n{case.as_curl_command()}"[:2000]
                    found.setdefault((operation.label, type(failure).__name__), words)
    assert asked > 60
    return list(found.values())


def answers(
    operation: Any, known: dict[str, list[str]], session: requests.Session, url: str, most: int
) -> Iterator[tuple[Case, requests.Response]]:
    """What is answered to requests that the document allows or forbids, half of them about what is there."""
    got: list[tuple[Case, requests.Response]] = []

    @hypothesis.settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=most == EXAMPLES,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy())
    def ask(case: Case) -> None:
        chance = random.Random(repr(case.path_parameters))
        for name in case.path_parameters or {}:
            if name in known and chance.random() < 0.5:
                case.path_parameters[name] = chance.choice(known[name])
        got.append((case, case.call(base_url=url, session=session, **credentials(operation.label))))

    ask()
    yield from got


def credentials(label: str) -> dict[str, Any]:
    """What the operation asks for beside a key: none is needed from this machine."""
    last = label.rpartition("/")[2]
    if last in SEGMENT and label.startswith("POST /v1/") and label.count("/") == 2:
        return {"auth": (SEGMENT_KEY, "")}
    if "/v1/bounces" in label:
        return {"headers": {"authorization": f"Bearer {BOUNCES_SECRET}"}}
    return {}


def seed(session: requests.Session, url: str) -> dict[str, list[str]]:
    """One of each thing; returns what paths may name."""
    import_id = ""
    made: list[tuple[str, str, Any]] = [
        ("POST", "/v1/contacts", {"id": "22222", "email": "anna@example.com", "fields": {"city": "Brno"}}),
        ("POST", "/v1/contacts/22222/notes", {"text": "called"}),
        ("PUT", "/v1/lists/news", {"name": "News"}),
        ("PUT", "/v1/segments/vip", {"name": "VIP", "rule": {"tag": "vip"}}),
        ("PUT", "/v1/segments/hand", {"name": "By hand"}),
        ("PUT", "/v1/templates/hello", {"subject": "Hi", "text": "{{ contact.city }}"}),
        ("PUT", "/v1/event-types/registered", {"name": "Registered"}),
        ("PUT", "/v1/processes/welcome", process()),
        ("POST", "/v1/processes/welcome/activate", None),
        ("POST", "/v1/events", {"type": "registered", "id": "e1", "contact": {"id": "22222"}}),
        ("POST", "/v1/imports", {"name": "people.csv"}),
    ]
    for method, path, body in made:
        answer = session.request(method, url + path, json=body)
        assert answer.ok, f"{method} {path}: {answer.text}"
        import_id = answer.json()["id"] if path == "/v1/imports" else import_id
    return {
        "ref": ["22222", "anna@example.com"],
        "key": ["welcome", "news", "vip", "hand", "hello", "registered"],
        "import": [import_id],
        "id": ["e1"],
        "list": ["news"],
        "tag": ["vip"],
    }
