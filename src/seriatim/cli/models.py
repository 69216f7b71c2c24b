"""`seriatim models`: what ships, and what each model is."""

from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def models(
    action: Annotated[
        str, typer.Argument(metavar="[list|show]", help="List the models, or show the card of one.")
    ] = "list",
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The model to show: a name, a run folder or a model folder.")
    ] = None,
) -> None:
    """List the models that ship, or show one."""
    from seriatim.core.errors import ConfigError, did_you_mean
    from seriatim.inference.zoo import WEIGHTS_NAME, find_model_folder, read_card, summary, zoo_names

    match action, name:
        case "list", None:
            for one in zoo_names():
                folder = find_model_folder(one)
                megabytes = (folder / WEIGHTS_NAME).stat().st_size / 1e6
                typer.echo(f"{one:<16} {megabytes:6.1f} MB  {summary(read_card(folder)).removeprefix(f'{one}: ')}")
        case "show", str():
            typer.echo(read_card(find_model_folder(name)))
        case "show", None:
            raise ConfigError("models show: name a model, such as: seriatim models show nuclei")
        case "list", _:
            raise ConfigError("models list: takes no name; did you mean: seriatim models show NAME")
        case _:
            raise ConfigError(f"models {action}: unknown{did_you_mean(action, ('list', 'show'))}")
