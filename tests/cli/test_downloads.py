"""What is downloaded comes in pieces that are cut anywhere."""

import pytest

from console.contacts_csv import to_stdout


def test_a_download_may_be_cut_inside_a_character(capsys: pytest.CaptureFixture[str]) -> None:
    write = to_stdout()
    for byte in "Žofie 🙂".encode():
        write(bytes([byte]))
    assert capsys.readouterr().out == "Žofie 🙂"
