"""`seriatim train`: carry out a recipe in a run folder, or resume it there after an interruption."""

import signal
import sys
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer

from seriatim.cli.options import DeviceOption, SettingsOption, new_app
from seriatim.cli.progress import TerminalBar

app = new_app()


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a TOML file.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run folder.", show_default=False)],
    settings: SettingsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    device: DeviceOption = "auto",
) -> int:
    """Train a network by a recipe.

    The run folder holds config.toml, environment.json, metrics.jsonl, checkpoints/, samples/ and model/ with the best weights so far, which
    `seriatim segment --model RUN` can use at any time. SIGTERM and SIGINT write a checkpoint first.
    """
    from seriatim.core.errors import StoppedBySignal
    from seriatim.training.loop import train as run
    from seriatim.training.recipe import load_recipe

    loaded = load_recipe(recipe, settings or [])
    with TrainingProgress(loaded.num_iterations) as progress:
        try:
            folder = run(loaded, out, resume=resume, watch=progress.show, device=device)
        except StoppedBySignal as stop:
            sys.stderr.write(f"seriatim: stopped by {signal.Signals(stop.number).name}; continue with --resume\n")
            return 128 + stop.number
    typer.echo(str(folder.model))
    return 0


class TrainingProgress(TerminalBar):
    """Shows losses and the remaining time: as a bar if stderr is a terminal, otherwise as a line every few iterations."""

    def __init__(self, total: int, every: int = 50) -> None:
        """
        Args:
            total: maximum number of iterations of the run.
            every: iterations between two lines without a terminal.
        """
        self.total = total
        self.every = every
        self._recent: deque[float] = deque(maxlen=50)
        if sys.stderr.isatty():
            from rich import progress as bars
            from rich.console import Console

            times = (bars.TimeElapsedColumn(), bars.TimeRemainingColumn())
            columns = (bars.BarColumn(), bars.MofNCompleteColumn(), *times, bars.TextColumn("{task.description}"))
            self._bar = bars.Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=total)

    def show(self, state: Any, losses: dict[str, float]) -> None:
        """Show an iteration.

        Args:
            state: the run's counters.
            losses: of the iteration, by name, with `total`.
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
