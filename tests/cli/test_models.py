import pytest

from seriatim.inference import zoo


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch, model):
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    (tmp_path / "tiny").symlink_to(model)
    (tmp_path / "not-a-model").mkdir()


@pytest.mark.parametrize("words", [(), ("list",)])
def test_models_that_ship_are_listed_with_size_and_what_they_are_for(run, words):
    code, out, err = run("models", *words)
    assert (code, err) == (0, "")
    assert out.startswith("tiny")
    assert "MB  finds dots" in out
    assert out.count("\n") == 1


def test_a_card_is_shown(run, model):
    assert run("models", "show", "tiny")[:2] == (0, "# tiny: finds dots\n\nOnly a test.\n\n")
    assert run("models", "show", model)[0] == 0


@pytest.mark.parametrize("words", [("show",), ("show", "tinny"), ("list", "tiny"), ("lst",)])
def test_wrong_usage_is_exit_code_2(run, words):
    code, out, err = run("models", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
