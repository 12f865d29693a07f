"""What `make audit` makes of pip-audit's answer."""

import json

from deploy.audit import report

GOOD = {"name": "idna", "version": "3.20", "vulns": []}
BAD = {"name": "six", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "tiny", "skip_reason": "not found"}


def test_a_vulnerability_is_an_error() -> None:
    said, code = report(json.dumps({"dependencies": [GOOD, BAD, UNKNOWN]}))
    assert code == 1
    assert "six 1.0: PYSEC-1" in said
    assert "2 packages looked at, 1 not known to the service, 1 vulnerabilities" in said


def test_none_is_none() -> None:
    assert report(json.dumps({"dependencies": [GOOD]}))[1] == 0


def test_an_answer_about_nothing_is_not_taken_for_a_good_one() -> None:
    for output in ("", "ServiceError", json.dumps({"dependencies": [UNKNOWN]})):
        said, code = report(output)
        assert (said.startswith("Nothing was looked for"), code) == (True, 0)
