"""`seriatim models`: what ships, what each model is, and a new zoo model from a run."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from seriatim.cli.options import SettingsOption, new_app


class _ListByDefault(TyperGroup):
    """Runs `list` where no command is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["list"])


app = new_app(cls=_ListByDefault)


@app.callback()
def models() -> None:
    """List the models that ship (the default), show one, or make one from a run."""


@app.command("list")
def list_models() -> None:
    """List the models that ship, with the size of their weights."""
    from seriatim.inference.zoo import WEIGHTS_NAME, find_model_folder, read_card, summary, zoo_names

    for one in zoo_names():
        folder = find_model_folder(one)
        megabytes = (folder / WEIGHTS_NAME).stat().st_size / 1e6
        typer.echo(f"{one:<16} {megabytes:6.1f} MB  {summary(read_card(folder)).removeprefix(f'{one}: ')}")


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A model that ships, a run folder or a model folder.")
    ] = None,
) -> None:
    """Show the card of a model: data, recipe, scores and limits."""
    from seriatim.core.errors import ConfigError
    from seriatim.inference.zoo import find_model_folder, read_card

    if name is None:
        raise ConfigError("models show: name a model, such as: seriatim models show nuclei")
    typer.echo(read_card(find_model_folder(name)))


@app.command()
def add(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of seriatim train.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the new model.", show_default=False)],
    class_names: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Names of the classes, from class 1.", show_default=False),
    ] = None,
    settings: SettingsOption = None,
    half: Annotated[bool, typer.Option("--half/--full", help="Store weights in 16 or in 32 bits.")] = True,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Gets the model instead of the zoo of this package.", show_default=False),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="A result of seriatim evaluate --json for the card; repeatable.", show_default=False
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Score the model on the test images of its recipe, for the card.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a model of this name.")] = False,
) -> None:
    """Make a zoo model from a run: the weights that the recipe's rule picked, and a card."""
    from seriatim.training.zoo_entry import add_model

    folder = add_model(
        run,
        name,
        to,
        class_names=[word.strip() for word in (class_names or "").split(",") if word.strip()],
        settings=settings or [],
        half=half,
        score_files=scores or [],
        measure=measure,
        force=force,
    )
    typer.echo(str(folder))
