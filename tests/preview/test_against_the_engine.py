"""What a preview says is what then happens: random processes, contacts and events, on the real engine.

`--hypothesis-profile=deep` tells many more stories, other ones each time; ONWARD_TEST_DATABASE=postgres tells them on
PostgreSQL.
"""

import os
import time
from datetime import UTC, datetime

import hypothesis
import pytest

from intake.previews import Preview
from tests.preview.playing import (
    DRIFT,
    all_ways,
    as_told,
    cast,
    differences,
    foretold,
    happened,
    is_the_same_later,
    play,
    set_the_scene,
)
from tests.preview.stories import Story, many_sided, story
from tests.support.engine import Engine
from tests.support.smtp_server import RecordingSmtpServer

AT_ONCE = 8
"""Stories that are told side by side."""


def numbers() -> list[int]:
    """The stories to be told."""
    examples: int = getattr(hypothesis.settings.default, "max_examples", 100)
    if examples <= 100:
        return many_sided(AT_ONCE)
    first = int(time.time())
    return list(range(first, first + examples))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database_url", [os.environ.get("ONWARD_TEST_DATABASE", "sqlite")], indirect=True)
async def test_what_a_preview_says_is_what_then_happens(engine: Engine, smtp: RecordingSmtpServer) -> None:
    await set_the_scene(engine)
    wrong: list[str] = []
    told = 0
    wanted = numbers()
    for first in range(0, len(wanted), AT_ONCE):
        found, kept = await tell(engine, smtp, wanted[first : first + AT_ONCE])
        wrong += found
        told += kept
    assert not wrong, "\n\n".join(wrong)
    assert told >= len(wanted) * 3 // 4


async def tell(engine: Engine, smtp: RecordingSmtpServer, some: list[int]) -> tuple[list[str], int]:
    """Tell stories side by side; returns where previews were wrong, and how many stories were kept."""
    now = datetime.now(UTC)
    stories = [story(number, now) for number in some]
    references = [await cast(engine, one) for one in stories]
    playing: list[tuple[Story, Preview, str]] = []
    for one, reference in zip(stories, references, strict=True):
        at = datetime.now(UTC)
        preview = await foretold(engine, one, reference, at)
        later = await foretold(engine, one, reference, at + DRIFT)
        assert preview.entrance.admitted, preview.entrance
        if is_the_same_later(preview, later):
            playing.append((one, preview, await play(engine, one, reference)))
    wrong: list[str] = []
    for one, preview, instance in playing:
        real = await happened(engine, smtp, instance)
        ways = list(all_ways(preview.foresight.timeline))
        found = [(differences(real, as_told(moments, ending)), when) for moments, ending, when in ways]
        nearest = min(found, key=lambda pair: len(pair[0]))
        if nearest[0]:
            wrong.append(f"story {one.number}, {len(ways)} ways, by «{nearest[1]}»: " + "\n".join(nearest[0]))
    return wrong, len(playing)
