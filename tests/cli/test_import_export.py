"""`onward import` and `onward export` against a real API."""

import asyncio
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from console import contacts_csv
from console.api_client import Api
from console.failures import Unreachable
from tests.cli.conftest import CLI, Onward

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CZECH = """E-mail;Jméno;Narozen;Poznámka
anna@example.com;Anna;15.3.1990;=1+1
žádný;Eva;;

eva@example.com;Eva;;"a;b"
"""
MAPPING = ("--map", "Jméno=name", "--map", "Narozen=birthday:date", "--map", "Poznámka=note")


def text_of(file: Path) -> list[dict[str, str]]:
    """A CSV's records."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def numbered(folder: Path, rows: int) -> Path:
    """A file with so many contacts."""
    file = folder / "many.csv"
    file.write_text("id,n\n" + "".join(f"c{number},{number}\n" for number in range(rows)))
    return file


async def test_a_czech_file_comes_in_and_goes_out(onward: Onward, tmp_path: Path) -> None:
    for key in ("news", "shop"):
        await put(onward, f"/lists/{key}", {"name": key})
    file, report = tmp_path / "lidé.csv", tmp_path / "refused.csv"
    file.write_bytes(CZECH.encode("cp1250"))
    said = await onward(
        "import", file, "--encoding", "cp1250", "--list", "news", "--tag", "fair", "--tag", "vip",
        *MAPPING, "--report", report,
    )  # fmt: skip
    assert said.code == 1, "a row was refused"
    assert "2 created, 0 updated, 0 kept, 1 refused" in said.out
    assert "is not an e-mail address" in said.out
    assert [(row["row"], row["column"]) for row in text_of(report)] == [("3", "E-mail")]
    anna = (await onward("contacts", "anna@example.com", "--json")).json
    assert anna["fields"] == {"name": "Anna", "birthday": "1990-03-15", "note": "=1+1"}
    assert [tag["tag"] for tag in anna["tags"]] == ["fair", "vip"]
    assert [(row["list"], row["status"]) for row in anna["lists"]] == [("news", "subscribed")]

    out = tmp_path / "out.csv"
    written = await onward("export", "-o", out, "--list", "news", "--excel")
    assert (written.code, out.read_bytes()[:3]) == (0, b"\xef\xbb\xbf")
    found = {row["email"]: row for row in text_of(out)}
    assert found.keys() == {"anna@example.com", "eva@example.com"}
    assert (found["anna@example.com"]["fields.note"], found["eva@example.com"]["fields.note"]) == (
        "'=1+1",
        "a;b",
    )
    assert not out.with_name("out.csv.part").exists()
    shown = await onward("export", "--tag", "vip")
    assert shown.out.startswith("onward_id,external_id,email")
    again = await onward("import", out, "--json")
    assert (again.code, again.json["updated"], again.json["state"]) == (0, 2, "done")
    missing = await onward("export", "--segment", "none")
    assert (missing.code, "segment «none»" in missing.err) == (1, True)


@pytest.mark.parametrize(
    ("broken", "code"), [(KeyboardInterrupt(), 130), (Unreachable("The API does not answer."), 1)]
)
async def test_what_breaks_off_is_resumed(
    onward: Onward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: BaseException, code: int
) -> None:
    file = numbered(tmp_path, 180)
    monkeypatch.setattr(contacts_csv, "ROWS_AT_ONCE", 50)
    parts: list[int] = []
    post = Api.post_csv

    def breaking(self: Api, path: str, text: str, **query: Any) -> Any:
        parts.append(query["from"])
        if len(parts) == 3:
            raise broken
        return post(self, path, text, **query)

    with patch.object(Api, "post_csv", breaking):
        stopped = await onward("import", file, "--tag", "x")
    assert stopped.code == code
    resume = stopped.err.split("--resume ")[1].split()[0]
    assert (await onward("export")).out.count("\n") == 101
    other = tmp_path / "other.csv"
    other.write_text("id,m\nx,1\n")
    wrong = await onward("import", other, "--resume", resume)
    assert (wrong.code, "is not the file" in wrong.err) == (1, True)
    assert (await onward("import", file, "--resume", resume, "--tag", "y")).code == 2
    parts += [0] * 3
    with patch.object(Api, "post_csv", breaking):
        resumed = await onward("import", file, "--resume", resume, "--json")
    assert (resumed.code, resumed.json["created"], resumed.json["last_line"]) == (0, 180, 181)
    assert parts[-2:] == [102, 152]
    assert resumed.json["options"]["tags"] == ["x"]
    over = await onward("import", file, "--resume", resume, "--json")
    assert (over.code, over.json["created"], over.json["rows"]) == (0, 180, 180), "nothing is sent twice"


async def test_a_fault_in_the_file_says_where_and_how_to_go_on(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_text('id\na\nb\n"c"x\nd\n')
    broken = await onward("import", file)
    assert (broken.code, "row 4: there is text after a closing quote" in broken.err) == (1, True)
    resume = broken.err.split("--resume ")[1].split()[0]
    file.write_text('id\na\nb\n"c"\nd\n')
    mended = await onward("import", file, "--resume", resume)
    assert (mended.code, mended.out.split(": ")[1].strip()) == (0, "4 created, 0 updated, 0 kept, 0 refused")


async def test_what_is_not_understood_is_said(onward: Onward, tmp_path: Path) -> None:
    file = numbered(tmp_path, 1)
    for options in (["--encoding", "ebcdic"], ["--delimiter", "dash"], ["--map", "x"]):
        assert (await onward("import", file, *options)).code == 2, options
    unknown = await onward("import", file, "--map", "nope=email", "--list", "none")
    assert (unknown.code, "/columns/nope" in unknown.err) == (1, True)
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    assert "is empty" in (await onward("import", empty)).err
    assert "cannot be read" in (await onward("import", tmp_path / "none.csv")).err
    latin = tmp_path / "latin.csv"
    latin.write_bytes("Město,id\n".encode("cp1250"))
    assert "name the file's encoding" in (await onward("import", latin)).err
    assert (await onward("export", "-o", tmp_path / "no" / "folder.csv")).code == 1


def piped(url: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
    """The command line as a process, with a file on its standard input."""
    command = [sys.executable, str(CLI), "import", "-", "--delimiter", "tab"]
    environment = {**os.environ, "ONWARD_API_URL": url}
    return subprocess.run(command, input=data, capture_output=True, env=environment, check=False)


async def test_standard_input_is_a_file_too(onward: Onward) -> None:
    done = await asyncio.to_thread(piped, onward.url, b"id\tcity\n1\tBrno, CZ\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 created" in done.stdout
    assert (await onward("contacts", "1", "--json")).json["fields"] == {"city": "Brno, CZ"}


async def test_gaps_between_rows_keep_their_numbers(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "gaps.csv"
    file.write_text('\nid,note\n\n\na,"two\nlines"\n\nb,""\n')
    done = (await onward("import", file, "--json")).json
    assert (done["created"], done["last_line"]) == (2, 7)
    assert contacts_csv._text([(2, ["a"]), (5, ["b"])]) == "a\r\n\r\n\r\nb\r\n"


async def put(onward: Onward, path: str, body: dict[str, Any]) -> None:
    """Put what there is no command for."""
    async with httpx.AsyncClient(base_url=f"{onward.url}/v1", timeout=60) as client:
        (await client.put(path, json=body)).raise_for_status()


async def test_a_usual_export_comes_in_as_it_is_and_one_person_goes_out(
    onward: Onward, tmp_path: Path
) -> None:
    file = Path(__file__).parents[1] / "imports" / "usual_exports" / "shopify.csv"
    assert (await onward("import", file)).code == 0
    out = tmp_path / "fia.json"
    assert (await onward("contact", "export", "7210448301122", "-o", out)).code == 0
    found = json.loads(out.read_bytes())
    assert (found["contact"]["email"], found["contact"]["phone"]) == ("fia@example.com", "+46701234567")
    assert sorted(tag["tag"] for tag in found["tags"]) == ["bread", "vip"]
    assert (await onward("contact", "export", "fia@example.com")).json["contact"] == found["contact"]
    assert (await onward("contact", "export", "nobody")).code == 1


async def test_national_numbers_and_the_rest_as_told(onward: Onward, tmp_path: Path) -> None:
    file = tmp_path / "us.csv"
    file.write_text("email,phone,Shoe size\nnat@example.com,(775) 555-0154,42\n")
    assert (await onward("import", file, "--country", "us", "--rest", "drop")).code == 0
    found = (await onward("contacts", "nat@example.com", "--json")).json
    assert (found["phone"], found["fields"]) == ("+17755550154", {})
    assert (await onward("import", file, "--rest", "some")).code == 2
