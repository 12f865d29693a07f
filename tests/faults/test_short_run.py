"""A short seeded run with every test run. The long ones are `make faults`."""

from pathlib import Path

import pytest

from tests.faults.run import Plan, run
from tests.faults.system import Kind

SEED = 7
SECONDS = 15.0
CONTACTS = 36


@pytest.mark.temporal
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_under_faults_every_contact_gets_what_the_oracle_says(
    database: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = await run(Plan(SEED, database, SECONDS, CONTACTS), tmp_path, print)

    assert not report.differences, "\n".join([*report.differences, *report.stories])
    assert report.faults.total() >= 2
    assert report.instances >= CONTACTS
    assert report.sent >= CONTACTS
