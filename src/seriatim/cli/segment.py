"""`seriatim segment`: pictures in; label maps, overlays, COCO and counts out."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seriatim.cli.options import CrfOption, DeviceOption, ModelOption, ThreadsOption, load_model
from seriatim.results.format_names import DEFAULT_FORMATS, FORMAT_SUMMARIES

if TYPE_CHECKING:
    from seriatim.inference.predictor import Predictor
    from seriatim.results.formats import ResultFolder

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def segment(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Pictures, or folders that are searched for pictures.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for what is written.", show_default=False)],
    model: ModelOption = None,
    formats: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help=f"What is written, with commas: {'; '.join(f'{name} ({what})' for name, what in FORMAT_SUMMARIES.items())}.",
        ),
    ] = ",".join(DEFAULT_FORMATS),
    device: DeviceOption = "auto",
    crf: CrfOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the counts to stdout, as JSON.")] = False,
    threads: ThreadsOption = None,
) -> None:
    """Segment and count the objects of pictures.

    For photo.png: photo.labels.png and photo.overlay.png; for the whole call: instances.json and counts.csv. Further formats are chosen by
    --formats.
    """
    from seriatim.core.errors import ImageError
    from seriatim.inference.zoo import DEFAULT_MODEL, find_model_folder
    from seriatim.results.formats import ResultFolder, parse_formats
    from seriatim.results.inputs import find_pictures, output_stems

    chosen = parse_formats(formats)
    pictures = find_pictures(paths, out)
    if not pictures:
        raise ImageError(f"{', '.join(map(str, paths))}: holds no pictures")
    if model is None:
        _say(
            f"no --model given: taking {DEFAULT_MODEL!r}; choose with --model NAME or --model FOLDER (`seriatim models` lists the names)"
        )
    predictor = load_model(find_model_folder(model or DEFAULT_MODEL), device, threads, crf)
    results = ResultFolder(out, chosen, predictor.class_names)
    failed = _segment_all(predictor, pictures, output_stems(pictures, out), results)
    if as_json:
        counts = [{"file": one.file, "count": one.count, "seconds": round(one.seconds, 3)} for one in results.results]
        typer.echo(
            json.dumps(
                {"files": counts, "failed": [{"file": file, "reason": reason} for file, reason in failed.items()]},
                indent=1,
            )
        )
    if failed:
        _say(f"{len(failed)} of {len(pictures)} pictures could not be segmented")
        raise typer.Exit(1 if len(failed) == len(pictures) else 3)


def _segment_all(
    predictor: "Predictor", pictures: list[Path], stems: list[str], results: "ResultFolder"
) -> dict[str, str]:
    """Each picture in turn; returns those that failed with the reason. What is done is written even if the call is stopped."""
    from seriatim.cli.progress import Progress
    from seriatim.core.errors import ImageError
    from seriatim.data.images import read_pixels
    from seriatim.results.segmented import FormatLimitError

    failed: dict[str, str] = {}
    try:
        with Progress(len(pictures)) as progress:
            for picture, stem in zip(pictures, stems, strict=True):
                started = time.perf_counter()
                try:
                    pixels = read_pixels(picture)
                    instances = predictor.predict(pixels, progress.tiles)
                except (ImageError, MemoryError) as error:
                    failed[str(picture)] = str(error) or "too large for the memory"
                    _say(failed[str(picture)])
                else:
                    seconds = time.perf_counter() - started
                    try:
                        results.add(str(picture), stem, pixels, instances, seconds)
                    except FormatLimitError as error:
                        failed[str(picture)] = str(error)
                        _say(failed[str(picture)])
                    else:
                        _say(
                            f"{picture}: {len(instances)} {'object' if len(instances) == 1 else 'objects'} ({seconds:.1f} s)"
                        )
                progress.picture_done()
    finally:
        results.finish()
    return failed


def _say(message: str) -> None:
    typer.echo(message, file=sys.stderr)
