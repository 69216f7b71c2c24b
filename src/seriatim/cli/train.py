"""`seriatim train`: a recipe, by name or file, into a run folder; again with --resume after any interruption."""

import signal
import sys
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer

from seriatim.cli.options import DeviceOption, SettingsOption

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe that ships, or a TOML file.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder.", show_default=False)],
    settings: SettingsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    device: DeviceOption = "auto",
) -> int:
    """Train a network by a recipe.

    The run folder holds config.toml, environment.json, metrics.jsonl, checkpoints/, samples/ and model/, the best weights so far, which
    `seriatim segment --model RUN` takes at any time. SIGTERM and SIGINT write a checkpoint first.
    """
    from seriatim.core.errors import StoppedBySignal
    from seriatim.training.loop import train as run
    from seriatim.training.recipe import load_recipe

    loaded = load_recipe(recipe, settings or [])
    with TrainingProgress(loaded.num_iterations) as progress:
        try:
            folder = run(loaded, out, resume=resume, watch=progress.show, device=device)
        except StoppedBySignal as stop:
            sys.stderr.write(f"seriatim: stopped by {signal.Signals(stop.number).name}; go on with --resume\n")
            return 128 + stop.number
    typer.echo(str(folder.model))
    return 0


class TrainingProgress:
    """Losses, speed and the time that is left: a bar where stderr is a terminal, a line now and then where it is not."""

    def __init__(self, total: int, every: int = 50) -> None:
        """
        Args:
            total: iterations of the whole run, at the most.
            every: iterations between two lines without a terminal.
        """
        self.total = total
        self.every = every
        self._recent: deque[float] = deque(maxlen=50)
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> "TrainingProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, state: Any, losses: dict[str, float]) -> None:
        """Called after every iteration.

        Args:
            state: the run's counters.
            losses: of the iteration, by name; `total` among them.
        """
        self._recent.append(losses["total"])
        mean = sum(self._recent) / len(self._recent)
        terms = "  ".join(f"{name} {value:.3f}" for name, value in losses.items() if name != "total")
        objects = f"  objects {state.num_objects}" if state.num_objects else ""
        text = f"loss {mean:.3f}  {terms}{objects}"
        if self._bar is not None:
            self._bar.update(self._task, completed=state.iteration, description=text)
        elif state.iteration % self.every == 0 or state.iteration == self.total:
            sys.stderr.write(f"iteration {state.iteration}/{self.total}  {text}\n")
            sys.stderr.flush()
