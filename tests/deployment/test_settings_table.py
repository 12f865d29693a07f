"""Every setting is in docs/deployment.md and in .env.example, with what it means."""

import pytest

from deploy.settings_table import SAID_HERE, Setting, example, settings, table, with_block, written
from settings import Settings


@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.variable)
def test_every_setting_says_what_it_means(setting: Setting) -> None:
    assert setting.meaning, f"{setting.variable}: write a docstring under it in settings.py"
    assert f"`{setting.variable}`" in table()
    assert f"#{setting.variable}=" in example()


def test_nothing_is_missing_and_nothing_is_left_over() -> None:
    assert [setting.variable for setting in settings()] == [
        f"ONWARD_{name}".upper() for name in Settings.model_fields
    ]
    assert SAID_HERE.keys() <= Settings.model_fields.keys()


def test_the_files_are_up_to_date() -> None:
    for path, text in written().items():
        assert path.read_text() == text, f"{path.name}: run `python -m deploy.settings_table`"


def test_every_default_in_the_example_is_one_that_the_settings_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in settings():
        if setting.default:
            monkeypatch.setenv(setting.variable, setting.default)
    # The default of the signing key is for this machine only.
    monkeypatch.setenv("ONWARD_API_KEYS", "loopback")
    Settings(_env_file=None)


def test_a_file_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        with_block("text", "block", "<!-- begin -->", "<!-- end -->")
