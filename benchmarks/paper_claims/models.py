"""What is measured of models that are trained already: plain RSIS and plain RIS on plants that no training has seen (`rosettes`, seeds from 200).

The numbers of each plant are kept in the work folder under a hash of the weights, the settings and the number of plants; `shipped.py` judges them.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paper_claims.measures import find, numbers_of

from seriatim.analysis.activations import channel_means, mean_in_masks
from seriatim.analysis.emitted import as_emitted
from seriatim.analysis.order import ORDERS, correlate_orders, kendall_tau
from seriatim.analysis.places import find_place
from seriatim.cli.untrained import untrained_network
from seriatim.core.errors import ConfigError
from seriatim.core.files import write_atomically
from seriatim.core.instances import Instances
from seriatim.data.catalogue import open_source
from seriatim.data.samples import Sample
from seriatim.inference.placement import pad_tile
from seriatim.inference.predictor import Predictor, load
from seriatim.inference.zoo import find_model_folder
from seriatim.models.sequential import SequentialModel

NUM_IMAGES = 32
FIRST_SEED = 200
VERSION = 1
"""Raised when what is measured changes."""

CONDITIONS = ("undisturbed", "state zeroed", "true count")


@dataclass(frozen=True)
class Models:
    """What is measured.

    Attributes:
        rsis: plain RSIS on leaves: a model that ships, a run folder or a model folder.
        ris: plain RIS on leaves.
        images: number of plants.
    """

    rsis: str = "leaves-rsis-plain"
    ris: str = "leaves-ris-plain"
    images: int = NUM_IMAGES


def measured_path(work: Path, name: str, model: str, images: int) -> Path | None:
    """The file that keeps what was measured of a model; None if there is no such model."""
    try:
        folder = find_model_folder(model)
    except ConfigError:
        return None
    content = b"".join((folder / part).read_bytes() for part in ("model.safetensors", "config.json"))
    key = hashlib.sha256(content + f"{name} {images} {VERSION}".encode()).hexdigest()[:16]
    return work / "models" / f"{name}-{key}.json"


def measure_models(work: Path, models: Models) -> None:
    """Measure both models, as far as that is not done; one that is to ship and does not yet is left out, with its claims.

    Raises:
        ConfigError: if there is no model of a name that was asked for.
    """
    for name, model, default in (("rsis", models.rsis, Models.rsis), ("ris", models.ris, Models.ris)):
        path = measured_path(work, name, model, models.images)
        if path is None and model == default:
            print(f"{model}: does not ship; claims about it are not measured", flush=True)
            continue
        if path is None:
            raise ConfigError(f"--{name} {model}: no such model")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(measure_model(name, model, models.images)).encode())
        print(name, "measured", flush=True)


def measure_model(name: str, model: str, images: int) -> dict[str, Any]:
    """Of every plant: the scores under each condition, the steps, the pixels of the masks, the order, and the activations (RSIS), or the CRF (RIS)."""
    predictor = load(model, "cpu")
    source = open_source(f"rosettes:{images}@{FIRST_SEED}")
    initial, origin = untrained_network(model, predictor.description, None)
    crf = load(model, "cpu", crf=True)
    rows: list[dict[str, Any]] = []
    for sample, results in find(predictor, source, CONDITIONS):
        row: dict[str, Any] = {condition: numbers_of(sample, found) for condition, found in results.items()}
        if name == "ris":
            row["CRF"] = numbers_of(sample, crf.predict_values(sample.image))
        row |= look_at_steps(predictor, sample)
        row |= look_at_order(predictor, initial, sample)
        rows.append(row)
    return {"model": predictor.description.model.name, "untrained": origin, "images": rows}


def look_at_steps(predictor: Predictor, sample: Sample) -> dict[str, Any]:
    """The stop probabilities of the steps up to one behind the last object, and the pixels of the masks of the steps that count.

    Returns:
        `stop`: pairs of probability and whether there was an object left; `unsaturated`, `inside`, `pixels`: numbers of pixels of these masks with a
        probability between 0.1 and 0.9, of at least 0.1, and of all; `claimed`, `contested`: pixels that belong to at least one and to several.
    """
    network = predictor.network
    assert isinstance(network, SequentialModel)
    prepared, num_objects = predictor.prepared(sample.image), len(sample.classes)
    with predictor.evaluating(), predictor.arithmetic():
        images = torch.from_numpy(pad_tile(prepared, predictor.tile_multiple))[None]
        output: Any = network(images, max(num_objects + 1, network.config.max_steps))
        logits = output.confidence_logits if hasattr(output, "confidence_logits") else output.stop_logits
        probs = output.mask_probs if hasattr(output, "mask_probs") else output.mask_logits.sigmoid()
    stop, masks = (
        logits[0].float().sigmoid().numpy(),
        probs[0, :, : prepared.shape[1], : prepared.shape[2]].float().numpy(),
    )
    counted = int(np.argmax([*(stop[: network.config.max_steps] < network.config.stop_threshold), True]))
    masks = masks[:counted]
    owners = (masks >= network.config.mask_threshold).sum(axis=0)
    return {
        "stop": [[round(float(one), 4), step < num_objects] for step, one in enumerate(stop[: num_objects + 1])],
        "unsaturated": int(((masks > 0.1) & (masks < 0.9)).sum()),
        "inside": int((masks >= 0.1).sum()),
        "pixels": int(masks.size),
        "claimed": int((owners > 0).sum()),
        "contested": int((owners > 1).sum()),
    }


def look_at_order(predictor: Predictor, initial: SequentialModel[Any], sample: Sample) -> dict[str, Any]:
    """Tau of the order emitted with each plain order, and with the activations of each level before and after training; empty for fewer than two objects."""
    found = as_emitted(predictor).predict_values(sample.image)
    placed = [(place, one) for one in found if (place := find_place(one)) is not None]
    taus = correlate_orders([place for place, _ in placed])
    if taus is None:
        return {}
    kept = Instances(found.size, [one for _, one in placed])
    prepared = predictor.prepared(sample.image)
    levels: dict[str, dict[str, float]] = {}
    for when, network in (("before", initial.eval()), ("after", predictor.network)):
        assert isinstance(network, SequentialModel)
        with predictor.evaluating(), predictor.arithmetic():
            maps = channel_means(network, torch.from_numpy(pad_tile(prepared, predictor.tile_multiple))[None])
            means = mean_in_masks(maps, kept, (prepared.shape[1], prepared.shape[2]))
        levels[when] = {level: kendall_tau(-values) for level, values in means.items()}
    return {"order": dict(zip(ORDERS, taus, strict=True)), "levels": levels}


Rows = list[dict[str, Any]]
"""What was measured of every plant."""


def rows_of(work: Path, models: Models) -> dict[str, Rows | None]:
    """`rsis` and `ris` -> what was measured; None where it is not there."""
    found: dict[str, Rows | None] = {}
    for name, model in (("rsis", models.rsis), ("ris", models.ris)):
        path = measured_path(work, name, model, models.images)
        found[name] = json.loads(path.read_bytes())["images"] if path is not None and path.exists() else None
    return found
