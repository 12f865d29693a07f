"""A template that doesn't come back costs the request that asked for it, and nobody else."""

import asyncio
import os
import signal

import httpx
import pytest

from channels import rendering
from channels.rendering import RenderPool, render_pool

HOSTILE = "{% if (1..9999999999) contains 5.5 %}{% endif %}"


async def test_the_api_answers_others_while_a_template_is_rendered(api: httpx.AsyncClient) -> None:
    assert (await api.put("/v1/templates/t", json={"subject": "s", "text": "{{ 1 }}"})).status_code == 200
    renderers = [child.pid for child in render_pool()._children]
    for pid in renderers:
        os.kill(pid, signal.SIGSTOP)
    try:
        preview = asyncio.ensure_future(api.post("/v1/templates/t/preview"))
        put = asyncio.ensure_future(api.put("/v1/templates/u", json={"subject": "s", "text": "{{ 2 }}"}))

        answers = [await api.get(path) for path in ("/health/live", "/v1/templates/t", "/v1/contacts")]

        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert not preview.done()
        assert not put.done()
    finally:
        for pid in renderers:
            os.kill(pid, signal.SIGCONT)
    assert (await preview).json()["text"] == "1"
    assert (await put).status_code == 200


async def test_a_range_without_end_is_refused_where_it_is_made(api: httpx.AsyncClient) -> None:
    await api.put("/v1/templates/t", json={"subject": "s", "text": f"a\n{HOSTILE}"})

    answer = await api.post("/v1/templates/t/preview")

    assert answer.status_code == 422
    assert "text, line 2: the range has more than 10,000 items" in answer.text


async def test_a_process_whose_texts_run_away_is_refused(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = RenderPool(
        1, seconds=0.000_001
    )  # less than the kernel's clock can tell: reading any text is too long
    monkeypatch.setattr(rendering, "render_pool", lambda: pool)
    endless = "{% assign a = 1 %}" * 250
    note = {"id": "note", "type": "add_note", "text": endless}
    document = {"key": "p", "name": "P", "recurrence": "once", "steps": [note]}

    answer = await api.post("/v1/processes/validate", json=document)

    assert [problem["pointer"] for problem in answer.json()["problems"]] == ["/steps/0/text"]
    assert "seconds of processor time" in answer.text
    pool.close()
