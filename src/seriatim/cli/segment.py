"""`seriatim segment`: images in; label maps, overlays, COCO and counts out."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seriatim.cli import options
from seriatim.cli.talk import say
from seriatim.results.formats import DEFAULT_FORMATS, FORMATS, parse_formats

if TYPE_CHECKING:
    from seriatim.inference.predictor import Predictor

app = options.new_app()


class Overlay(StrEnum):
    """Styles of overlays; see `results.overlay.draw_overlay`."""

    plain = "plain"
    outline = "outline"
    filled = "filled"


@app.command()
def segment(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Images, or folders to search for images.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of results.", show_default=False)],
    model: options.ModelOption = None,
    formats: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help=f"Formats to write, separated by commas: {'; '.join(f'{name} ({entry.summary})' for name, entry in FORMATS.items())}.",
        ),
    ] = ",".join(DEFAULT_FORMATS),
    overlay: Annotated[
        Overlay, typer.Option(help="Overlays with thin outlines alone, with numbers where they fit, or filled as well.")
    ] = Overlay.outline,
    boxes: options.BoxesOption = None,
    device: options.DeviceOption = "auto",
    crf: options.CrfOption = False,
    settings: options.SettingsOption = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Do only what is missing or changed in the folder of results; so does a call without this option.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the counts to stdout as JSON.")] = False,
    threads: options.ThreadsOption = None,
) -> None:
    """Segment and count the objects of images.

    Writes photo.labels.png and photo.overlay.png for photo.png, and instances.json and counts.csv for the whole call. --formats chooses other
    formats. A second call into the same folder does only what is missing or changed.
    """
    from seriatim.cli.segment_call import SegmentCall
    from seriatim.core.errors import ImageError
    from seriatim.core.locks import locked
    from seriatim.data.box_origins import open_boxes
    from seriatim.inference.zoo import DEFAULT_MODEL, find_model_folder
    from seriatim.results.folder import ResultFolder, make_result_folder
    from seriatim.results.inputs import find_images

    chosen = parse_formats(formats)
    inputs = find_images(paths, out)
    if not inputs.files:
        reasons = "".join(f"; {path}: {reason}" for path, reason in inputs.unreadable.items())
        raise ImageError(f"{', '.join(map(str, paths))}: holds no images{reasons}")
    if model is None:
        say(
            f"no --model given: using {DEFAULT_MODEL!r}; choose with --model NAME or --model FOLDER (`seriatim models` lists the names)"
        )
    folder = find_model_folder(model or DEFAULT_MODEL)
    predictor = options.load_model(folder, device, threads, crf, settings)
    if boxes is not None:
        predictor.check_boxes()
    boxes_of = None if boxes is None else open_boxes(boxes, class_names=predictor.class_names)
    make_result_folder(out)
    with locked(out, "another call of seriatim"):
        facts = _what_results_depend_on(predictor, folder, boxes)
        results = ResultFolder(out, chosen, predictor.class_names, facts, overlay.value)
        call = SegmentCall(predictor, results, inputs, boxes_of)
        call.run()
    if as_json:
        typer.echo(json.dumps({"files": call.counts(), "failed": call.failures()}, indent=1))
    call.say_what_was_not_done()
    if call.failed:
        raise typer.Exit(3 if call.done else 1)


def _what_results_depend_on(predictor: "Predictor", folder: Path, boxes: str | None) -> dict[str, Any]:
    """What must be the same for results to belong into one folder, formats and classes aside."""
    from seriatim.inference.model_folder import weights_digest
    from seriatim.inference.zoo import find_model_folder
    from seriatim.results.manifest import image_digest
    from seriatim.version import __version__

    detector = predictor.description.inference.detector
    return {
        "version": __version__,
        "weights": weights_digest(folder),
        "detector_weights": None if detector is None else weights_digest(find_model_folder(detector)),
        "crf": predictor.crf,
        "boxes": boxes if boxes is None or not Path(boxes).is_file() else image_digest(Path(boxes)),
        **predictor.description.model_dump(mode="json", exclude={"format", "class_names"}),
    }
