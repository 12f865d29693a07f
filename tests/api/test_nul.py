"""A NUL character, which PostgreSQL keeps nowhere: in files and in forms it is refused, or left out, with its place."""

import json

import httpx
import pytest
from pydantic import SecretStr

from runtime import Services
from tests.api.conftest import places

pytestmark = pytest.mark.each_database

CSV = {"content-type": "text/csv"}
COLUMNS = {
    "external_id": "e{n}", "email": "n{n}@example.com", "phone": "+42060123456{n}", "token": "t{n}", "language": "cs",
    "time_zone": "Europe/Prague", "city": "Brno", "born:date": "1990-05-05", "more:json": "{{}}", "tags": "vip",
    "lists": "news", "email_state": "ok", "consent": "{{}}",
}  # fmt: skip
"""A value of each column that means something of its own."""


async def test_in_a_cell_it_costs_that_value_and_its_column_is_named(api: httpx.AsyncClient) -> None:
    """One row for each column, with a NUL in that one."""
    assert (await api.put("/v1/lists/news", json={"name": "News"})).status_code < 300
    lines = [",".join(COLUMNS)]
    for number, bad in enumerate(COLUMNS):
        cells = [value.format(n=f"{number:02}") for value in COLUMNS.values()]
        cells[list(COLUMNS).index(bad)] = "a\0b"
        lines.append(",".join(cells))
    answer = await api.post("/v1/imports/csv", content="\n".join(lines).encode(), headers=CSV)
    assert answer.status_code == 200, answer.text
    reported = (await api.get(f"/v1/imports/{answer.json()['import']}/rows?limit=100")).json()["items"]
    assert [[problem["pointer"] for problem in row["problems"]] for row in reported] == [
        [f"/{column}"] for column in COLUMNS
    ]
    assert {row["status"] for row in reported if row["row"] > 6} == {"created"}
    assert "\\u0000" not in answer.text + json.dumps(reported)


@pytest.mark.parametrize("place", ["/v1/imports/csv", "/v1/imports/{import}/rows"])
async def test_in_a_header_the_file_is_refused_and_the_column_counted(
    api: httpx.AsyncClient, place: str
) -> None:
    begun = (await api.post("/v1/imports", json={})).json()["id"]
    refused = await api.post(
        place.replace("{import}", begun), content=b"external_id,a\0b\n9,x\n", headers=CSV
    )
    assert (refused.status_code, places(refused)) == (422, ["/columns"])
    assert "the name of column 2 has a NUL character" in refused.text
    assert (await api.get("/v1/contacts")).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "place"),
    [("tag=a%00", "?tag"), ("list=%00", "?list"), ("map=city%00%3Dcity", "?map"), ("name=%00", "?name")],
)
async def test_in_an_option_of_an_import_it_is_refused(
    api: httpx.AsyncClient, query: str, place: str
) -> None:
    refused = await api.post(f"/v1/imports/csv?{query}", content=b"external_id\n9\n", headers=CSV)
    assert (refused.status_code, places(refused)) == (422, [place])
    assert (await api.get("/v1/imports")).json()["items"] == []


async def test_in_a_message_that_is_sent_as_a_form_it_is_refused(
    away: Services, api: httpx.AsyncClient
) -> None:
    """Segment's libraries in browsers call their JSON a form, so that no preflight is needed; 400 is Segment's."""
    body = json.dumps({"userId": "1", "event": "Seen", "properties": {"a": "x\0"}}).encode()
    away.settings.segment_write_keys = (SecretStr("write-key"),)
    form = {"content-type": "application/x-www-form-urlencoded"}
    refused = await api.post("/v1/track", content=body, headers=form, auth=("write-key", ""))
    assert (refused.status_code, places(refused)) == (400, ["/properties/a"])
    assert (await api.get("/v1/events")).json()["items"] == []
