"""Names of files that would steer a terminal or a spreadsheet."""

import pytest

from seriatim.core.text import table_cell, without_controls


@pytest.mark.parametrize("character", ["\x00", "\r", "\n", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e"])
def test_no_control_character_is_left(character):
    shown = without_controls(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\")
    assert shown.endswith("b")


def test_other_text_is_as_it_was_whatever_its_script():
    for text in ("Blätter 葉 ورقة.png", "raw \udcff byte.png", 'tab-less, comma; "quote"'):
        assert without_controls(text) == table_cell(text) == text


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+2", "-leaf.png", "@SUM(A1)"])
def test_what_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(text):
    assert table_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, "-1.5", "-2e-05", "+3", 7, ""])
def test_numbers_stay_numbers(value):
    assert table_cell(value) == str(value)
