"""docs/http.md: each example is sent, in order, to one server, and answered as the page says."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from api.app import create_app
from tests.api.conftest import client_of
from tests.support.away import temporal_away

GUIDE = Path(__file__).parents[1] / "docs" / "http.md"
EXAMPLE = re.compile(
    r"(?P<method>[A-Z]+) (?P<path>/\S+)\n(?:(?P<body>\{.*\})\n)?→ (?P<status>\d{3})(?: (?P<answer>\{.*\}))?"
)


class Example(NamedTuple):
    """A request and what is answered, in part."""

    method: str
    path: str
    body: Any
    status: int
    answer: Any


def examples() -> list[Example]:
    """Those of the page. Raises where a block holds something else."""
    found = []
    for block in re.findall(r"```http\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        for text in block.strip().split("\n\n"):
            example = EXAMPLE.fullmatch(text)
            assert example is not None, text
            body, answer = (json.loads(example[name] or "null") for name in ("body", "answer"))
            found.append(Example(example["method"], example["path"], body, int(example["status"]), answer))
    return found


@pytest.fixture
async def client(tmp_path: Path, empty_sqlite: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an empty server."""
    url = f"sqlite+aiosqlite:///{shutil.copy(empty_sqlite, tmp_path / 'onward.db')}"
    async with temporal_away(url) as services, client_of(create_app(services)) as client:
        yield client


async def test_every_example_is_answered_as_the_guide_says(client: httpx.AsyncClient) -> None:
    asked = examples()
    assert len(asked) > 25
    for example in asked:
        answer = await client.request(example.method, example.path, json=example.body)
        assert answer.status_code == example.status, (example, answer.text)
        if example.answer is not None:
            assert holds(answer.json(), example.answer), (example, answer.text)


def holds(whole: Any, part: Any) -> bool:
    """Whether an answer has what the page shows of it; lists are as long as shown."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and holds(whole[name], part[name]) for name in part
        )
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)
