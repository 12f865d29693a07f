"""Imports from CSV over HTTP: in parts, in one, again, and what they may not do."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from processes.scanning import ScanCall
from runtime import Services
from store import rows
from store.suppressions import EMAIL, suppress
from tests.api.conftest import activate, contact, places, process

CSV = {"content-type": "text/csv"}
HEADER = "external_id,email,city,tags\n"


async def begin(api: httpx.AsyncClient, **options: Any) -> str:
    """An import's id."""
    answer = await api.post("/v1/imports", json=options)
    assert answer.status_code == 201, answer.text
    import_id: str = answer.json()["id"]
    return import_id


async def send(api: httpx.AsyncClient, import_id: str, text: str, first: int = 1) -> dict[str, Any]:
    """What became of rows."""
    answer = await api.post(f"/v1/imports/{import_id}/rows?from={first}", content=text.encode(), headers=CSV)
    assert answer.status_code == 200, answer.text
    counts: dict[str, Any] = answer.json()
    return counts


async def whole(api: httpx.AsyncClient, text: str, query: str = "") -> dict[str, Any]:
    """What became of a whole file."""
    answer = await api.post(f"/v1/imports/csv?{query}", content=text.encode(), headers=CSV)
    assert answer.status_code == 200, answer.text
    counts: dict[str, Any] = answer.json()
    return counts


async def report(api: httpx.AsyncClient, import_id: str, query: str = "") -> list[tuple[int, str, list[Any]]]:
    """Each row with its status and what is wrong with it."""
    answer = (await api.get(f"/v1/imports/{import_id}/rows?{query}")).json()
    return [
        (row["row"], row["status"], [(p["pointer"], p["message"]) for p in row["problems"]])
        for row in answer["items"]
    ]


async def person(api: httpx.AsyncClient, reference: str) -> dict[str, Any]:
    """A contact with its tags and lists."""
    answer = await api.get(f"/v1/contacts/{reference}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lists(found: dict[str, Any]) -> dict[str, str]:
    """A contact's lists with its status in each."""
    return {row["list"]: row["status"] for row in found["lists"]}


async def count(services: Services, table: Any) -> int:
    """The rows of a table."""
    async with services.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


# Whole files


async def test_each_row_has_its_result(api: httpx.AsyncClient) -> None:
    await contact(api, "2", fields={"city": "Praha", "age": 5})
    await contact(api, "3")
    counts = await whole(
        api,
        HEADER
        + '1,Anna@Example.com,Brno,"vip, new"\n'
        + "2,2@example.com,Ostrava,\n"
        + "\n"
        + ",not an address,Brno,\n"
        + "2,3@example.com,Brno,\n"
        + ",,Brno,\n"
        + "1,anna@example.com,Zlín,late\n",
        "tag=fair",
    )
    assert {k: v for k, v in counts.items() if k != "import"} == {
        "received": 6,
        "created": 1,
        "updated": 2,
        "kept": 0,
        "refused": 3,
        "repeated": 0,
        "last_line": 8,
    }
    found = await report(api, counts["import"])
    assert [(line, status) for line, status, _ in found] == [
        (2, "created"), (3, "updated"), (5, "refused"), (6, "refused"), (7, "refused"), (8, "updated")
    ]  # fmt: skip
    assert found[2][2][0][0] == "/email"
    assert found[3][2] == [("", "its identities belong to two contacts: «2» and «3»")]
    assert found[4][2] == [("", "says nobody: a contact needs one of external_id, email, phone and token")]
    anna = await person(api, "1")
    assert (anna["email"], anna["fields"]) == ("anna@example.com", {"city": "Zlín"})
    assert [tag["tag"] for tag in anna["tags"]] == ["fair", "late", "new", "vip"]
    assert (await person(api, "2"))["fields"] == {"city": "Ostrava", "age": 5}
    assert await report(api, counts["import"], "status=created") == [(2, "created", [])]
    page = (await api.get(f"/v1/imports/{counts['import']}/rows?limit=4")).json()
    rest = await report(api, counts["import"], f"limit=4&cursor={page['next_cursor']}")
    assert [line for line, _, _ in rest] == [7, 8]
    csv = await api.get(f"/v1/imports/{counts['import']}/report.csv?status=refused")
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert csv.text.splitlines()[0] == "row,status,contact,column,message"
    assert [line.split(",")[0] for line in csv.text.splitlines()[1:]] == ["5", "6", "7"]


async def test_a_report_is_no_formula_either(api: httpx.AsyncClient) -> None:
    counts = await whole(api, '"=HYPERLINK(""x"")",id\nx,1\n', "map==HYPERLINK(%22x%22)=email")
    assert (await report(api, counts["import"]))[0][2][0][0] == '/=HYPERLINK("x")'
    csv = (await api.get(f"/v1/imports/{counts['import']}/report.csv")).text
    assert ",\"'=HYPERLINK(" in csv


async def test_the_import_can_be_looked_at(api: httpx.AsyncClient) -> None:
    first = await begin(api, name="people.csv", columns={"Mail": "email"}, tags=["x"])
    await send(api, first, "Mail,n\na@example.com,1\nb,2\n")
    second = await begin(api)
    listed = (await api.get("/v1/imports")).json()["items"]
    assert [row["id"] for row in listed] == [second, first]
    found = (await api.get(f"/v1/imports/{first}")).json()
    assert (found["state"], found["rows"], found["created"], found["refused"]) == ("open", 2, 1, 1)
    assert (found["options"]["name"], found["options"]["header"]) == ("people.csv", ["Mail", "n"])
    done = (await api.post(f"/v1/imports/{first}/finish")).json()
    assert (done["state"], done["last_line"]) == ("done", 3)
    assert done["ended_at"] is not None
    assert (await api.get("/v1/imports/none")).status_code == 404
    assert (await api.get("/v1/imports/none/rows")).status_code == 404
    assert (await api.get("/v1/imports/none/report.csv")).status_code == 404


async def test_encodings_and_delimiters_of_czech_exports(api: httpx.AsyncClient) -> None:
    text = "E-mail;Město\nzaneta@example.com;Žďár\n"
    for charset, data in (
        ("windows-1250", text.encode("cp1250")),
        ("utf-8", text.encode("utf-8-sig")),
        ("utf-16", text.encode("utf-16")),
    ):
        answer = await api.post(
            "/v1/imports/csv?map=Město=city",
            content=data,
            headers={"content-type": f"text/csv; charset={charset}"},
        )
        assert answer.json()["refused"] == 0, answer.text
        assert (await person(api, "zaneta@example.com"))["fields"] == {"city": "Žďár"}
    wrong = await api.post("/v1/imports/csv?map=Město=city", content=text.encode("cp1250"), headers=CSV)
    assert (wrong.status_code, wrong.json()["type"]) == (400, "urn:onward:problem:unreadable")
    assert "name the file's encoding" in wrong.json()["detail"]
    odd = await api.post(
        "/v1/imports/csv", content=b"x", headers={"content-type": "text/csv; charset=ebcdic"}
    )
    assert odd.status_code == 415
    assert (await api.post("/v1/imports/csv", json={})).status_code == 415


async def test_a_large_file_comes_in_pieces_and_compressed(api: httpx.AsyncClient, away: Services) -> None:
    text = "email,city\n" + "".join(f"p{n}@example.com,{'x' * 3000}\n" for n in range(1000))
    assert len(text) > away.settings.max_body_bytes
    packed = gzip.compress(text.encode())

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(packed), 1000):
            yield packed[start : start + 1000]

    answer = await api.post("/v1/imports/csv", content=pieces(), headers={**CSV, "content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["created"]) == (200, 1000), answer.text
    assert (await person(api, "p999@example.com"))["fields"] == {"city": "x" * 3000}


async def test_a_fault_in_the_middle_keeps_what_came_before(api: httpx.AsyncClient) -> None:
    text = 'email\na@example.com\nb@example.com\n"c"d@example.com\ne@example.com\n'
    answer = await api.post("/v1/imports/csv", content=text, headers=CSV)
    assert (answer.status_code, answer.json()["row"]) == (400, 4)
    assert "row 4: there is text after a closing quote" in answer.json()["detail"]
    import_id = answer.json()["import"]
    found = (await api.get(f"/v1/imports/{import_id}")).json()
    assert (found["state"], found["created"], found["last_line"]) == ("open", 2, 3)
    mended = await send(api, import_id, "cd@example.com\ne@example.com\n", 4)
    assert (mended["created"], mended["last_line"]) == (2, 5)


async def test_what_is_wrong_with_the_whole_is_said_at_once(api: httpx.AsyncClient, away: Services) -> None:
    assert places(await api.post("/v1/imports/csv?list=none", content=b"email\n", headers=CSV)) == ["?list"]
    assert places(await api.post("/v1/imports/csv?map=x", content=b"email\n", headers=CSV)) == ["?map"]
    assert places(await api.post("/v1/imports/csv?delimiter=x", content=b"email\n", headers=CSV)) == [
        "?delimiter"
    ]
    assert await count(away, rows.imports) == 0
    header = await api.post(
        "/v1/imports/csv?map=first name=a b", content=b"email,first name\nx,y\n", headers=CSV
    )
    assert (header.status_code, places(header)) == (422, ["/columns/first name"])
    assert [row["state"] for row in (await api.get("/v1/imports")).json()["items"]] == ["stopped"]
    bodies: list[tuple[dict[str, Any], list[str]]] = [
        ({"header": ["city"]}, ["/columns"]),
        ({"has_header": False}, ["/header"]),
        ({"list": "none"}, ["/list"]),
        ({"list": "Not A Key"}, ["/list"]),
        ({"tags": [""]}, ["/tags/0"]),
        ({"on_conflict": "guess"}, ["/on_conflict"]),
        ({"colums": {}}, ["/colums"]),
    ]
    for body, where in bodies:
        answer = await api.post("/v1/imports", json=body)
        assert (answer.status_code, places(answer)) == (422, where), body


# In parts, and again


async def test_rows_are_taken_once_however_often_they_come(api: httpx.AsyncClient, away: Services) -> None:
    import_id = await begin(api, header=["email", "n"], tags=["x"])
    first = await send(api, import_id, "a@example.com,1\nb@example.com,2\n", 2)
    assert (first["created"], first["repeated"], first["last_line"]) == (2, 0, 3)
    await api.patch("/v1/contacts/a@example.com", json={"fields": {"n": "changed since"}})
    again = await send(api, import_id, "a@example.com,1\nb@example.com,2\nc@example.com,3\n", 2)
    assert (again["created"], again["updated"], again["repeated"]) == (1, 0, 2)
    assert (await person(api, "a@example.com"))["fields"] == {"n": "changed since"}
    found = (await api.get(f"/v1/imports/{import_id}")).json()
    assert (found["rows"], found["created"], found["last_line"]) == (3, 3, 4)
    assert await count(away, rows.contacts) == 3


@pytest.mark.each_database
async def test_the_same_part_ten_times_at_once_is_taken_once(api: httpx.AsyncClient, away: Services) -> None:
    import_id = await begin(api, header=["email"])
    part = "".join(f"p{n}@example.com\n" for n in range(20))
    counts = await asyncio.gather(*(send(api, import_id, part, 2) for _ in range(10)))
    assert sum(one["created"] for one in counts) == 20
    assert sum(one["repeated"] for one in counts) == 180
    assert await count(away, rows.contacts) == 20


async def test_a_file_that_broke_off_is_sent_again_from_its_start(api: httpx.AsyncClient) -> None:
    import_id = await begin(api)
    await send(api, import_id, "email\na@example.com\n")
    again = await send(api, import_id, "email\na@example.com\nb@example.com\n")
    assert (again["repeated"], again["created"]) == (1, 1)
    other = await api.post(f"/v1/imports/{import_id}/rows", content=b"email,n\nc@x.cz,1\n", headers=CSV)
    assert (other.status_code, other.json()["detail"]) == (
        409,
        "the header is another one than before: this is not the file that was begun",
    )


async def test_a_file_without_a_header(api: httpx.AsyncClient) -> None:
    import_id = await begin(api, header=["email", "city"], has_header=False)
    counts = await send(api, import_id, "a@example.com,Brno\n")
    assert (counts["created"], counts["last_line"]) == (1, 1)
    unknown = await begin(api)
    answer = await api.post(f"/v1/imports/{unknown}/rows?from=2", content=b"x\n", headers=CSV)
    assert (answer.status_code, "header is not known" in answer.json()["detail"]) == (409, True)


async def test_an_import_that_is_over_takes_no_more(api: httpx.AsyncClient) -> None:
    for action, state in (("finish", "done"), ("stop", "stopped")):
        import_id = await begin(api, header=["email"])
        for _ in range(2):
            answer = await api.post(f"/v1/imports/{import_id}/{action}")
            assert (answer.status_code, answer.json()["state"]) == (200, state)
        late = await api.post(f"/v1/imports/{import_id}/rows?from=2", content=b"a@x.cz\n", headers=CSV)
        assert (late.status_code, state in late.json()["detail"]) == (409, True)
        other = "stop" if action == "finish" else "finish"
        assert (await api.post(f"/v1/imports/{import_id}/{other}")).status_code == 409
    for path in ("none/rows", "none/finish", "none/stop"):
        assert (await api.post(f"/v1/imports/{path}", content=b"", headers=CSV)).status_code == 404


# What it may do to those who are there


async def test_identities_are_nobody_elses(api: httpx.AsyncClient) -> None:
    await contact(api, "1", phone="+420601000001")
    await api.post("/v1/contacts", json={"email": "known@example.com"})
    counts = await whole(
        api,
        "external_id,email,phone\n"
        "2,1@example.com,\n"
        ",new@example.com,+420601000001\n"
        "3,known@example.com,\n"
        "1,other@example.com,\n"
        "4,1@example.com,\n",
    )
    found = {line: (status, problems) for line, status, problems in await report(api, counts["import"])}
    assert found[2][1] == [
        ("/email", "the e-mail address belongs to contact «1», whose ContactId is another one")
    ]
    assert found[3][0] == "created", "the phone stays with its owner, and is named"
    assert found[3][1] == [
        ("/phone", "the phone number belongs to contact «1», whose e-mail address is another one")
    ]
    assert found[4] == ("updated", [])
    assert (await person(api, "3"))["email"] == "known@example.com"
    assert (await person(api, "1"))["email"] == "other@example.com"
    assert found[6] == ("created", []), "the address is free since row 5"
    assert (await person(api, "4"))["email"] == "1@example.com"


async def test_which_value_counts(api: httpx.AsyncClient) -> None:
    text = "external_id,email,city,age:number,language\n1,new@example.com,Brno,7,cs\n2,,Brno,,\n"
    header = text.replace("age:number", "fields.age:number")
    for number, (query, email, fields, created) in enumerate(
        [
            ("", "new@example.com", {"city": "Brno", "age": 7}, 1),
            ("on_conflict=keep", "1@example.com", {"city": "Praha", "age": 7}, 0),
            ("update=false", "1@example.com", {"city": "Praha"}, 0),
        ]
    ):
        if number:
            await api.delete("/v1/contacts/1")
        await contact(api, "1", fields={"city": "Praha"})
        counts = await whole(api, header, f"{query}&tag=t{number}")
        found = await person(api, "1")
        assert (found["email"], found["fields"], counts["created"]) == (email, fields, created)
        kept = query == "update=false"
        assert (counts["kept"], counts["updated"]) == ((2, 0) if kept else (0, 2 - created))
        assert (found["language"], [tag["tag"] for tag in found["tags"]]) == (
            (None, []) if kept else ("cs", [f"t{number}"])
        )


async def test_nobody_is_subscribed_again(api: httpx.AsyncClient, away: Services) -> None:
    for key in ("news", "shop"):
        await api.put(f"/v1/lists/{key}", json={"name": key})
    for number, status in enumerate(["unsubscribed", "bounced", "complained", "unconfirmed", "subscribed"]):
        await contact(api, str(number))
        await api.put(f"/v1/contacts/{number}/lists/news", json={"status": status})
    async with away.database.write() as connection:
        await suppress(connection, EMAIL, "robinson@example.com", "asked", "a test", datetime.now(UTC))
    text = "email,email_state\n" + "".join(f"{n}@example.com,\n" for n in range(5))
    counts = await whole(
        api, text + "robinson@example.com,\nleft@example.com,unsubscribed\nnew@example.com,ok\n", "list=news"
    )
    assert (counts["updated"], counts["created"], counts["refused"]) == (5, 3, 0)
    notes = {
        line: [message for _, message in found] for line, _, found in await report(api, counts["import"])
    }
    for line, reason in {
        2: "the contact is unsubscribed there",
        3: "the contact is bounced there",
        4: "the contact is complained there",
        5: "the contact is unconfirmed there",
        7: "its address is suppressed",
        8: "mail to the contact is unsubscribed",
    }.items():
        assert notes[line] == [f"not subscribed to the list news: {reason}"]
    assert (notes[6], notes[9]) == ([], [])
    assert lists(await person(api, "0")) == {"news": "unsubscribed"}
    assert lists(await person(api, "robinson@example.com")) == {}
    assert lists(await person(api, "new@example.com")) == {"news": "subscribed"}
    assert (await person(api, "left@example.com"))["email_state"] == "unsubscribed"


async def test_a_file_may_say_no_for_somebody(api: httpx.AsyncClient) -> None:
    for key in ("news", "shop"):
        await api.put(f"/v1/lists/{key}", json={"name": key})
    await contact(api, "1")
    await api.put("/v1/contacts/1/lists/news", json={"status": "subscribed"})
    text = "external_id,lists,email_state\n1,news:unsubscribed; shop,complained\n2,none,\n3,shop:bounced,ok\n"
    counts = await whole(api, text)
    assert (counts["updated"], counts["created"], counts["refused"]) == (1, 2, 0)
    first = await person(api, "1")
    assert lists(first) == {"news": "unsubscribed"}, "and shop was asked for one who complained"
    assert first["email_state"] == "complained"
    history = (await api.get("/v1/contacts/1/lists")).json()["history"]
    assert (history[0]["before"], history[0]["after"]) == ("subscribed", "unsubscribed")
    assert history[0]["source"] == f"import {counts['import']}"
    assert lists(await person(api, "3")) == {"shop": "bounced"}
    assert (await report(api, counts["import"]))[1][2] == [("/lists", "there is no list «none»")]
    assert lists(await person(api, "2")) == {}, "the rest of the row is in"
    await whole(api, "external_id,email_state\n1,ok\n")
    assert (await person(api, "1"))["email_state"] == "complained"


async def test_another_address_cleans_a_bounce_but_no_refusal(api: httpx.AsyncClient) -> None:
    await whole(api, "external_id,email,email_state\n1,1@example.com,bounced\n2,2@example.com,unsubscribed\n")
    await whole(api, "external_id,email\n1,one@example.com\n2,two@example.com\n")
    states = [(await person(api, reference))["email_state"] for reference in ("1", "2")]
    assert states == ["ok", "unsubscribed"]


# What it starts


@pytest.mark.parametrize("trigger", [True, False])
async def test_processes_start_only_where_the_import_asks(api: httpx.AsyncClient, trigger: bool) -> None:
    await api.put("/v1/lists/news", json={"name": "News"})
    await contact(api, "1", fields={"city": "Praha"})
    await activate(api, process("by-tag", triggers=[{"type": "tag_added", "tag": "vip"}]))
    await activate(api, process("by-list", triggers=[{"type": "list_subscribed", "list": "news"}]))
    await activate(api, process("by-field", triggers=[{"type": "field_changed", "field": "city"}]))
    import_id = await begin(
        api, header=["external_id", "city"], list="news", tags=["vip", "other"], trigger=trigger
    )
    for _ in range(2):
        await send(api, import_id, "1,Brno\n2,Zlín\n3,\n", 2)
    found = (await api.get("/v1/instances")).json()["items"]
    assert sorted((row["process"], row["contact"]["external_id"]) for row in found) == (
        [
            ("by-field", "1"), ("by-field", "2"),
            ("by-list", "1"), ("by-list", "2"), ("by-list", "3"),
            ("by-tag", "1"), ("by-tag", "2"), ("by-tag", "3"),
        ]
        if trigger
        else []
    )  # fmt: skip
    events = (await api.get("/v1/events")).json()["items"]
    assert {event["source"] for event in events} == ({f"import {import_id}"} if trigger else set())
    assert await person(api, "3") is not None


@pytest.mark.parametrize("trigger", [True, False])
async def test_who_enters_a_segment_by_an_import_is_told_of_only_where_it_asks(
    api: httpx.AsyncClient, away: Services, trigger: bool
) -> None:
    await api.put("/v1/segments/brno", json={"name": "Brno", "rule": {"contact": "city", "equals": "Brno"}})
    await contact(api, "1", fields={"city": "Praha"})
    await contact(api, "2", fields={"city": "Brno"})
    triggers = [{"type": "segment_entered", "segment": "brno"}, {"type": "segment_left", "segment": "brno"}]
    await activate(api, process("movers", triggers=triggers))
    scans = away.tools().segment_scans

    async def look() -> int:
        return (await scans.look(ScanCall(segment="brno", until=datetime.now(UTC)), lambda _: None)).started

    assert await look() == 0
    await whole(api, "external_id,city\n1,Brno\n2,Praha\n3,Brno\n", f"trigger={str(trigger).lower()}")
    assert await look() == (3 if trigger else 0)
    assert (await api.patch("/v1/contacts/3", json={"fields": {"city": "Praha"}})).status_code == 200
    assert await look() == 1
