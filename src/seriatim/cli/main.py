"""`seriatim VERB ...`: finds the verb, and turns every failure into one line on stderr and an exit code.

    0 all done    1 failed    2 wrong usage    3 done, but some inputs failed    129, 130, 143 stopped by SIGHUP, SIGINT, SIGTERM

The module of a verb is imported when the verb is called, and imports heavy modules when it runs, so that `--help` answers at once.
"""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from seriatim.cli.options import COMMAND, new_app
from seriatim.core.errors import ConfigError, SeriatimError
from seriatim.core.signals import ending_signals
from seriatim.core.text import without_controls
from seriatim.version import __version__

VERBS: dict[str, tuple[str, str]] = {
    "segment": ("seriatim.cli.segment", "Segment and count the objects of images."),
    "evaluate": ("seriatim.cli.evaluate", "Score a model, or predictions, under official protocols."),
    "train": ("seriatim.cli.train", "Train a network from a recipe."),
    "analyse": ("seriatim.cli.analyse", "Look inside a network, and at its failures."),
    "data": ("seriatim.cli.data", "Make, inspect and convert data sets."),
    "models": ("seriatim.cli.models", "List the models that ship, show one, or make one from a run."),
}
"""Verb -> the module with its `app`, and its summary in `--help`."""


class Terminated(BaseException):
    """The process received SIGTERM or SIGHUP."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


class _Verbs(TyperGroup):
    """Knows the verbs by name and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in VERBS:
            return super().resolve_command(ctx, args)  # names the unknown verb and a similar one
        return args[0], get_command(import_module(VERBS[args[0]][0]).app), args[1:]


def _show_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"seriatim {__version__}")
        raise typer.Exit
    return asked


_app = new_app(is_group=True, cls=_Verbs)


@_app.callback()
def _seriatim(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error that ends a verb.")] = False,
) -> None:
    """Segment and count the objects of an image one after another."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        arguments: without the name of the program; None takes those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    words = [word for word in words[:end] if word != "--debug"] + words[end:]
    COMMAND.set(("seriatim", *words))
    with _logging_to_stderr(debug), _signals():
        try:
            return _run(words, debug)
        except (KeyboardInterrupt, Terminated) as stop:
            return _fail("stopped", 128 + (stop.number if isinstance(stop, Terminated) else signal.SIGINT), debug)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except ConfigError as error:
            return _fail(str(error), 2, debug)
        except SeriatimError as error:
            return _fail(str(error), 1, debug)
        except OSError as error:  # of a file that no reader or writer of ours stands for
            place = f"{error.filename}: " if error.filename is not None else ""
            return _fail(f"{place}{error.strerror or error}", 1, debug)
        except MemoryError:
            return _fail("out of memory", 1, debug)
        except Exception as error:  # a defect of this program
            return _fail(f"internal error, {type(error).__name__}: {error} (--debug shows the traceback)", 1, debug)


def _run(words: list[str], debug: bool) -> int:
    command = get_command(_app)
    assert isinstance(command, _Verbs)
    for verb, (_, summary) in VERBS.items():
        command.add_command(TyperCommand(verb, help=summary), verb)
    try:
        code = command.main(words, prog_name="seriatim", standalone_mode=False)
    except typer.Abort:
        return 1
    except Exception as error:
        show = getattr(error, "show", None)  # errors of the parser show themselves
        if show is None:
            raise
        if debug:
            traceback.print_exc()
        show()
        return int(getattr(error, "exit_code", 2))
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"seriatim: {without_controls(' '.join(message.split()))}\n")
    return code


class _OneLine(logging.Formatter):
    """Shows control characters of a message, such as those in the name of a file, as codes."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (named by logging)
        """The line of a record."""
        return without_controls(super().formatMessage(record))


@contextmanager
def _logging_to_stderr(debug: bool) -> Iterator[None]:
    """Show our warnings on stderr; those of other packages only with --debug."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("seriatim: %(levelname)s: %(message)s"))
    loud = logging.getLogger() if debug else logging.getLogger("seriatim")
    quiet = logging.NullHandler()
    logging.getLogger().addHandler(quiet)
    loud.addHandler(handler)
    try:
        yield
    finally:
        loud.removeHandler(handler)
        logging.getLogger().removeHandler(quiet)


@contextmanager
def _signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise, as SIGINT does, so that temporary files are removed; `nohup` still keeps SIGHUP away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _terminate) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)
