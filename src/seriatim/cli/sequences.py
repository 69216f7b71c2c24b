"""The verbs of `seriatim analyse` about the sequence of a model's objects: `order`, `activations` and `recurrence`."""

from pathlib import Path
from typing import Annotated

import typer

from seriatim.cli import options
from seriatim.cli.tables import Table, with_interval

FewImagesOption = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Take only the first N images.")]


def order(
    data: options.DataOption,
    model: options.ModelOption = None,
    predictions: options.PredictionsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for order.png, pairs.png, .csv and .json.", show_default=False),
    ] = None,
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    limit: options.LimitOption = None,
    examples: Annotated[int, typer.Option(min=1, max=12, metavar="N", help="Draw N images of each order.")] = 4,
    json_file: options.JsonOption = None,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Compare the order in which objects are emitted with right to left, bottom to top, and large to small.

    Give either --model or --predictions. The numbers are Kendall's tau-a: 1 is exactly that order, -1 its reverse. A table goes to stdout.
    With --out, also the images that follow each order best, and the patterns of consecutive objects by their classes.
    """
    from seriatim.analysis.order import ORDERS, collect_orders
    from seriatim.analysis.pairs import PATTERNS
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start
    from seriatim.evaluation.predictions import ModelPredictions, open_predictions

    options.check_one_origin("analyse order", model, predictions)
    if out is not None:
        _check_drawing(out)
    started = Start()
    source = options.open_images(data, recipe, part, limit)
    if model is None:
        assert predictions is not None, "check_one_origin refuses this"
        found = open_predictions(predictions, source)
    else:
        predictor = options.load_model(model, device, threads)

        from seriatim.analysis.emitted import as_emitted  # imports torch, which predictions of others do not need

        found = ModelPredictions(as_emitted(predictor))
    with ProgressBar(len(source)) as progress:
        report = collect_orders(found, source, 0 if out is None else examples, progress.images)
    numbers = {**options.what_is_judged(data, recipe, part, model, predictions), **report.as_json()}
    taus = report.summarise()
    rows = [(name.replace("_", " "), *with_interval(taus[name].mean, taus[name].interval)) for name in ORDERS]
    table = Table(("order", "tau", "95 % interval"), rows)
    if out is not None:
        from seriatim.plots.canvas import write_figure
        from seriatim.plots.order import draw_pairs, draw_sequences

        of_what = _judged(model or predictions, data)
        groups = report.pairs.groups(report.class_names)
        shares = [
            (group.name, str(group.num_pairs), *(f"{100 * group.share(pattern):.1f}" for pattern in PATTERNS))
            for group in groups
        ]
        options.write_numbers(numbers, out / "order.json", started)
        table.write(out / "order.csv")
        Table(("pairs", "number", *PATTERNS), shares).write(out / "pairs.csv")
        write_figure(draw_sequences(report, f"Order of objects: {of_what}"), out / "order.png")
        write_figure(draw_pairs(groups, f"Consecutive objects: {of_what}"), out / "pairs.png")
    if options.write_numbers(numbers, json_file, started):
        return
    typer.echo(
        f"{numbers['num_images']} images of {data}; left out, with fewer than two objects: {numbers['num_left_out']}"
    )
    table.show()


def activations(
    data: options.DataOption,
    model: options.RequiredModelOption,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for activations.png, .csv and .json.", show_default=False)
    ],
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    limit: FewImagesOption = 24,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Seed of the weights before training; by default that of the run's recipe, or 0 where the model has none.",
            show_default=False,
        ),
    ] = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Take the mean of the absolute activations.")] = False,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Compare the order in which objects are emitted with their activations in the encoder, before and after training.

    The numbers are Kendall's tau-a: 1 where the most active object comes first. A table goes to stdout.
    """
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start

    _check_drawing(out)
    started = Start()
    source = options.open_images(data, recipe, part, limit)
    predictor = options.load_model(model, device, threads)

    # these import torch, which takes seconds
    from seriatim.analysis.activations import collect_activations
    from seriatim.cli.untrained import untrained_network
    from seriatim.plots.activations import draw_activations
    from seriatim.plots.canvas import write_figure

    initial, before = untrained_network(model, predictor.description, seed)
    with ProgressBar(len(source)) as progress:
        report = collect_activations(predictor, initial, source, absolute=absolute, progress=progress.images)
    mean_of = "absolute activations" if absolute else "activations"
    facts = {**options.what_is_judged(data, recipe, part, model, None), "before": before, "mean_of": mean_of}
    numbers = {**facts, **report.as_json()}
    options.write_numbers(numbers, out / "activations.json", started)
    rows = [
        (
            one.level,
            *with_interval(one.before, one.before_interval),
            *with_interval(one.after, one.after_interval),
            *with_interval(one.after - one.before, one.change_interval),
        )
        for one in report.summarise()
    ]
    header = tuple(cell for name in ("before", "after", "change") for cell in (name, "95 % interval"))
    table = Table(("level", *header), rows)
    table.write(out / "activations.csv")
    title = f"Order and {mean_of}: {_judged(model, data)}, {numbers['num_images']} images"
    write_figure(draw_activations(report, title, f"before training: {before}"), out / "activations.png")
    typer.echo(
        f"{numbers['num_images']} images of {data}; left out, with fewer than two objects: {report.num_left_out}"
    )
    typer.echo(f"before training: {before}")
    table.show()


def recurrence(
    data: options.DataOption,
    model: options.RequiredModelOption,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for recurrence.png, memory.png, .csv and .json.", show_default=False),
    ],
    protocol: Annotated[str, typer.Option(metavar="PROTOCOL", help="Scores the results.")] = "cvppp",
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    limit: FewImagesOption = 24,
    steps: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Draw the state at N steps at most.")] = 10,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Set the state or the canvas to zero at every step, or force the stop, and compare the results with the undisturbed model.

    A table goes to stdout: the first number of the protocol and the counts, with the 95 % intervals of their changes. Of the first image,
    memory.png shows state and cell at every step.
    """
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start
    from seriatim.metrics.protocols import check_protocol

    check_protocol(protocol)
    _check_drawing(out)
    started = Start()
    source = options.open_images(data, recipe, part, limit)
    predictor = options.load_model(model, device, threads)

    # these import torch, which takes seconds
    from seriatim.analysis.recurrence import collect_recurrence
    from seriatim.analysis.states import trace_states
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.recurrence import draw_recurrence
    from seriatim.plots.states import draw_memory

    with ProgressBar(len(source)) as progress:
        report = collect_recurrence(predictor, source, protocol, progress.images)
    compared = report.compare()
    facts = options.what_is_judged(data, recipe, part, model, None)
    options.write_numbers({**facts, **report.as_json()}, out / "recurrence.json", started)
    rows = [
        (
            one.name,
            *with_interval(one.rows[0].value, one.rows[0].interval),
            *with_interval(one.ratio, one.ratio_interval),
            *with_interval(one.abs_dic, one.abs_dic_interval),
        )
        for one in compared
    ]
    names = (compared[0].rows[0].name, "predicted/true", "|DiC|")
    header = tuple(cell for name in names for cell in (name, "95 % of change"))
    table = Table(("condition", *header), rows)
    table.write(out / "recurrence.csv")
    notes = [f"{name} left out: {reason}" for name, reason in report.left_out.items()]
    title = f"Interventions: {_judged(model, data)}, {len(report.num_targets)} images, protocol {protocol}"
    write_figure(draw_recurrence(compared, title, "; ".join(notes)), out / "recurrence.png")
    sample = source.read(0)
    trace = trace_states(predictor, sample.image, num_steps=steps)
    write_figure(draw_memory(trace, f"{model_title(model, trace.model)}: {sample.name}"), out / "memory.png")
    typer.echo(f"{len(report.num_targets)} images of {data}, protocol {protocol}")
    table.show()
    for note in notes:
        typer.echo(note)


def model_title(given: str, network: str) -> str:
    """The name of a model in a figure: its folder or its name in the zoo, and its architecture.

    >>> model_title("runs/mine/", "ris")
    'mine (RIS)'
    """
    return f"{Path(given).name} ({network.upper()})"


def _judged(judged: str | Path | None, data: str) -> str:
    """What a figure is about, with names in place of paths.

    >>> _judged("runs/mine/", "folder:data/plants"), _judged("leaves", "rosettes:24")
    ('mine on folder:plants', 'leaves on rosettes:24')
    """
    kind, _, place = data.partition(":")
    return f"{Path(str(judged)).name} on {kind}:{Path(place).name}"


def _check_drawing(out: Path) -> None:
    """Make the folder, and refuse at once where figures cannot be drawn."""
    from seriatim.plots import canvas
    from seriatim.results.folder import make_result_folder

    del canvas  # imported to find out whether matplotlib is installed
    make_result_folder(out)
