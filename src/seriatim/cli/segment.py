"""`seriatim segment`: images in; label maps, overlays, COCO and counts out."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seriatim.cli import options
from seriatim.results.formats import DEFAULT_FORMATS, FORMATS, parse_formats

if TYPE_CHECKING:
    from seriatim.data.box_origins import BoxOrigin
    from seriatim.inference.predictor import Predictor
    from seriatim.results.folder import ResultFolder

app = options.new_app()


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
    boxes: options.BoxesOption = None,
    device: options.DeviceOption = "auto",
    crf: options.CrfOption = False,
    settings: options.SettingsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the counts to stdout as JSON.")] = False,
    threads: options.ThreadsOption = None,
) -> None:
    """Segment and count the objects of images.

    Writes photo.labels.png and photo.overlay.png for photo.png, and instances.json and counts.csv for the whole call. --formats chooses other
    formats.
    """
    from seriatim.core.errors import ImageError
    from seriatim.data.box_origins import open_boxes
    from seriatim.inference.zoo import DEFAULT_MODEL, find_model_folder
    from seriatim.results.folder import ResultFolder
    from seriatim.results.inputs import find_images, output_stems

    chosen = parse_formats(formats)
    files = find_images(paths, out)
    if not files:
        raise ImageError(f"{', '.join(map(str, paths))}: holds no images")
    if model is None:
        _say(
            f"no --model given: using {DEFAULT_MODEL!r}; choose with --model NAME or --model FOLDER (`seriatim models` lists the names)"
        )
    predictor = options.load_model(find_model_folder(model or DEFAULT_MODEL), device, threads, crf, settings)
    if boxes is not None:
        predictor.check_boxes()
    results = ResultFolder(out, chosen, predictor.class_names)
    boxes_of = None if boxes is None else open_boxes(boxes, class_names=predictor.class_names)
    failed = _segment_all(predictor, files, output_stems(files, out), results, boxes_of)
    if as_json:
        counts = [{"file": one.file, "count": one.count, "seconds": round(one.seconds, 3)} for one in results.results]
        typer.echo(
            json.dumps(
                {"files": counts, "failed": [{"file": file, "reason": reason} for file, reason in failed.items()]},
                indent=1,
            )
        )
    if failed:
        _say(f"{len(failed)} of {len(files)} images could not be segmented")
        raise typer.Exit(1 if len(failed) == len(files) else 3)


def _segment_all(
    predictor: "Predictor",
    files: list[Path],
    stems: list[str],
    results: "ResultFolder",
    boxes_of: "BoxOrigin | None",
) -> dict[str, str]:
    """Segment each image; returns the reason for each that failed. Finished images are written even if the call is stopped."""
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.errors import FormatLimitError, ImageError
    from seriatim.data.images import read_pixels, to_float_image

    failed: dict[str, str] = {}
    try:
        with ProgressBar(len(files)) as progress:
            for file, stem in zip(files, stems, strict=True):
                started = time.perf_counter()
                try:
                    pixels = read_pixels(file)
                    boxes = None if boxes_of is None else boxes_of.for_image(file, (pixels.shape[0], pixels.shape[1]))
                    instances = predictor.predict_values(to_float_image(pixels, str(file)), progress.tiles, boxes)
                except (ImageError, MemoryError) as error:
                    failed[str(file)] = str(error) or "too large for the memory"
                    _say(failed[str(file)])
                else:
                    seconds = time.perf_counter() - started
                    try:
                        results.add(str(file), stem, pixels, instances, seconds)
                    except FormatLimitError as error:
                        failed[str(file)] = str(error)
                        _say(failed[str(file)])
                    else:
                        _say(
                            f"{file}: {len(instances)} {'object' if len(instances) == 1 else 'objects'} ({seconds:.1f} s)"
                        )
                progress.image_done()
    finally:
        results.finish()
    return failed


def _say(message: str) -> None:
    typer.echo(message, file=sys.stderr)
