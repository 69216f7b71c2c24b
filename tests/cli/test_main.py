import logging
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import seriatim
from seriatim.cli import main as cli
from seriatim.core.errors import ConfigError, DataError


def test_help_names_every_verb(run):
    code, out, err = run("--help")
    assert code == 0
    assert err == ""
    for verb, (_, summary) in cli.VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(summary)}$", out, re.MULTILINE)


def test_the_version_is_said(run):
    assert run("--version") == (0, f"seriatim {seriatim.__version__}\n", "")


def test_no_verb_shows_the_help_as_wrong_usage(run):
    code, _, err = run()
    assert code == 2
    assert "Usage" in err


def test_a_mistyped_verb_is_wrong_usage_and_answered_with_the_nearest(run):
    code, _, err = run("segmnt")
    assert code == 2
    assert "Did you mean 'segment'?" in err


@pytest.mark.parametrize(
    "words",
    [
        ("segment",),
        ("segment", "x.png"),
        ("segment", "x.png", "--out", "o", "--nonsense"),
        ("evaluate",),
        ("models", "frame"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, words):
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("bad name"), 2), (DataError("bad data"), 1), (ZeroDivisionError("oh"), 1), (MemoryError(), 1)],
)
def test_an_error_is_one_line_and_a_traceback_only_with_debug(run, monkeypatch, error, code):
    def fail(words, debug):
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    got, out, err = run("models")
    assert (got, out) == (code, "")
    assert err.startswith("seriatim: ")
    assert err.count("\n") == 1
    got, _, err = run("models", "--debug")
    assert got == code
    assert "Traceback" in err


@pytest.mark.parametrize("words", [("segment", "--tile", "1"), ("models", "add"), ("nothing",)])
def test_wrong_usage_shows_a_traceback_only_with_debug(run, words):
    code, _, err = run(*words)
    assert code == 2
    assert "Traceback" not in err
    code, _, err = run("--debug", *words)
    assert code == 2
    assert "Traceback" in err


def test_a_file_called_debug_is_no_option(run, tmp_path, model):
    code, _, err = run("segment", "--out", tmp_path, "--model", model, "--", "--debug")
    assert code == 1
    assert "--debug: no such file" in err


def test_the_handler_of_sigterm_is_put_back(run):
    before = signal.getsignal(signal.SIGTERM)
    run("--version")
    assert signal.getsignal(signal.SIGTERM) is before


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from seriatim.cli.main import main; code = main(['--help']);"
        "heavy = [name for name in ('torch', 'numpy', 'PIL', 'rich', 'pydantic', 'scipy') if name in sys.modules];"
        "sys.stderr.write(','.join(heavy)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""


def test_help_answers_in_half_a_second():
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seriatim", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.5


def test_a_reader_that_goes_away_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "seriatim", "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_an_error_of_the_system_names_its_file_and_is_no_internal_error(run, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "secret/a\x1b[2J.png")

    monkeypatch.setattr(cli, "_run", refuse)
    assert run("models") == (1, "", "seriatim: secret/a\\x1b[2J.png: Permission denied\n")


def test_a_warning_cannot_steer_the_terminal(run, monkeypatch):
    def warn(*_):
        logging.getLogger("seriatim.x").warning("%s: has 2 pages", "a\x1b[2J.png")
        return 0

    monkeypatch.setattr(cli, "_run", warn)
    assert run("models")[2] == "seriatim: WARNING: a\\x1b[2J.png: has 2 pages\n"
