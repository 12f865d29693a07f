"""Lengths of time: as people and ISO 8601 write them, what is refused, and how models carry them."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from processes.durations import Duration, SignedDuration
from processes.values import Json
from tests.clock.places import PRAGUE, Wait, days, offsets


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "parts", "human", "iso"),
        [
            ("3d", (0, 3, 0), "3 days", "P3D"),
            ("1 DAY", (0, 1, 0), "1 day", "P1D"),
            ("1h 30m", (0, 0, 5400), "1 hour 30 minutes", "PT1H30M"),
            ("1h30m", (0, 0, 5400), "1 hour 30 minutes", "PT1H30M"),
            ("90 minutes", (0, 0, 5400), "1 hour 30 minutes", "PT1H30M"),
            ("2 weeks", (0, 14, 0), "14 days", "P14D"),
            ("1 month", (1, 0, 0), "1 month", "P1M"),
            ("14 months", (14, 0, 0), "1 year 2 months", "P1Y2M"),
            ("45s", (0, 0, 45), "45 seconds", "PT45S"),
            ("48h", (0, 0, 172800), "48 hours", "PT48H"),
            (" 1y 2mo 1w 3d 4h 5m 6s ", (14, 10, 14706), None, "P1Y2M10DT4H5M6S"),
            ("P3D", (0, 3, 0), "3 days", "P3D"),
            ("pt1h30m", (0, 0, 5400), "1 hour 30 minutes", "PT1H30M"),
            ("P1M", (1, 0, 0), "1 month", "P1M"),
            ("PT1M", (0, 0, 60), "1 minute", "PT1M"),
            ("P2W", (0, 14, 0), "14 days", "P14D"),
            ("P1Y2M3DT4H5M6S", (14, 3, 14706), None, "P1Y2M3DT4H5M6S"),
            ("10 years", (120, 0, 0), "10 years", "P10Y"),
            ("3652 days", (0, 3652, 0), "3652 days", "P3652D"),
        ],
    )
    def test_people_and_iso_write_it(
        self, text: str, parts: tuple[int, int, int], human: str | None, iso: str
    ) -> None:
        duration = Duration.parse(text)
        assert (duration.months, duration.days, duration.seconds) == parts
        assert duration.iso() == iso
        assert human is None or str(duration) == human
        assert Duration.parse(str(duration)) == Duration.parse(iso) == duration

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("3", "'3' has no unit; write text such as '3d' or '3h'"),
            ("", "'' is not a duration; write whole amounts with units, such as '3d'"),
            ("soon", "'soon' is not a duration"),
            ("1.5h", "'1.5h' is not a duration; write whole amounts"),
            ("3 fortnights", "'3 fortnights' has the unknown unit 'fortnights'; use y, month"),
            ("1h 2 hours", "'1h 2 hours' names the unit 'hours' twice"),
            ("1h 2", "'1h 2' is not a duration"),
            ("1h -2m", "'1h -2m' is not a duration"),
            ("P", "'P' is not a duration"),
            ("P1DT", "'P1DT' is not a duration"),
            ("PT1.5H", "'PT1.5H' is not a duration"),
            ("0d", "'0d' is zero; a duration is longer, such as '3d'"),
            ("PT0S", "'PT0S' is zero"),
            ("-3d", "'-3d' is negative; a duration is positive, such as '3d'"),
            ("-P3D", "'-P3D' is negative"),
            ("11 years", "'11 years' is longer than 10 years"),
            ("10y 1s", "'10y 1s' is longer than 10 years"),
            ("9" * 90 + "d", "is longer than 10 years"),
            ("9" * 9000 + "d", "…' is not a duration"),
        ],
    )
    def test_bad_text_is_named_with_an_example(self, text: str, message: str) -> None:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            Duration.parse(text)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 250

    @pytest.mark.parametrize("value", [3, 0, 3.5, float("inf")])
    def test_a_number_is_refused_for_want_of_a_unit(self, value: float) -> None:
        with pytest.raises(ValidationError, match="has no unit; write text such as '3d' or '1h 30m'"):
            Wait.model_validate({"lasts": value})

    @pytest.mark.parametrize("value", [True, None, [], {"days": 3}])
    def test_other_json_is_refused(self, value: Json) -> None:
        with pytest.raises(ValidationError, match="is not a duration"):
            Wait.model_validate({"lasts": value})

    def test_zero_is_made_only_on_purpose(self) -> None:
        assert Duration.zero().is_zero
        assert not Duration.zero().is_positive
        assert str(Duration.zero()) == "0 seconds"
        assert Duration.zero().iso() == "PT0S"
        with pytest.raises(ValueError, match="'0 seconds' is zero"):
            Duration(days=0)

    def test_it_is_ordered_by_length(self) -> None:
        assert Duration.zero() < Duration.parse("1s") < Duration.parse("30 days") < Duration.parse("1 month")
        assert days(3) >= days(3) > SignedDuration.parse("-3d")
        assert days(1).is_positive
        with pytest.raises(TypeError):
            assert days(1) > 0

    def test_it_is_a_value(self) -> None:
        assert days(3) == SignedDuration(days=3)
        assert len({days(3), SignedDuration(days=3), Duration.parse("72h")}) == 2
        assert days(3) != "3d"
        assert repr(days(3)) == "Duration('3 days')"
        zero = Duration.zero()
        assert pickle.loads(pickle.dumps(zero)) == copy.deepcopy(zero) == zero
        with pytest.raises(AttributeError):
            days(3).days = 4

    @pytest.mark.parametrize(
        ("text", "seconds", "human", "iso"),
        [
            ("-3d", -259200, "-3 days", "-P3D"),
            ("- 3d", -259200, "-3 days", "-P3D"),
            ("+2h", 7200, "2 hours", "PT2H"),
            ("2h", 7200, "2 hours", "PT2H"),
            ("-1d 2h", -93600, "-1 day 2 hours", "-P1DT2H"),
            ("-P1DT2H", -93600, "-1 day 2 hours", "-P1DT2H"),
            ("+p3d", 259200, "3 days", "P3D"),
            ("0d", 0, "0 seconds", "PT0S"),
        ],
    )
    def test_an_offset_has_one_sign_for_all(self, text: str, seconds: int, human: str, iso: str) -> None:
        offset = SignedDuration.parse(text)
        assert offset.average_seconds == seconds
        assert (str(offset), offset.iso()) == (human, iso)
        assert SignedDuration.parse(human) == SignedDuration.parse(iso) == offset
        opposite = -offset
        assert -opposite == offset
        assert opposite.average_seconds == -seconds

    @pytest.mark.parametrize(
        ("text", "message"),
        [("-11y", "'-11y' is longer than 10 years"), ("--3d", "is not a duration"), ("-3", "has no unit")],
    )
    def test_a_bad_offset_is_named(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SignedDuration.parse(text)

    def test_mixed_signs_are_refused(self) -> None:
        with pytest.raises(ValueError, match="mixes signs"):
            SignedDuration(days=1, seconds=-1)

    def test_models_carry_it_as_iso_text(self) -> None:
        wait = Wait.model_validate({"lasts": "1h 30m", "offset": "-3d", "at": "09:30", "zone": PRAGUE})
        assert wait.model_dump(mode="json") == {
            "lasts": "PT1H30M",
            "offset": "-P3D",
            "at": "09:30",
            "zone": PRAGUE,
        }
        assert Wait.model_validate_json(wait.model_dump_json()) == wait
        assert Wait(**wait.model_dump()) == wait
        assert Wait(lasts=days(1)) == Wait.model_validate({"lasts": SignedDuration(days=1)})

    @pytest.mark.parametrize("mode", ["validation", "serialization"])
    def test_its_json_schema_is_a_string(self, mode: str) -> None:
        schema = Wait.model_json_schema(mode="validation" if mode == "validation" else "serialization")
        assert {field["type"] for field in schema["properties"].values()} == {"string"}
        assert schema["properties"]["offset"]["default"] == "PT0S"


@settings(derandomize=True, database=None, deadline=None, max_examples=150)
@given(offsets)
def test_text_reads_back(offset: SignedDuration) -> None:
    assert SignedDuration.parse(str(offset)) == SignedDuration.parse(offset.iso()) == offset
