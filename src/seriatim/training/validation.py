"""What a run looks at from time to time: the loss on validation crops, the score of validation images, and sequences to look at.

A model that takes boxes sees those of the data set; where it has none, those of the true objects, which the log says (`"boxes": "true"`): such a score tells how
well boxes are filled, not how well objects are found.
"""

from pathlib import Path

import numpy as np
import torch

from seriatim.core.files import write_atomically
from seriatim.data.batches import Crops, batches
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.data.true_boxes import WithTrueBoxes
from seriatim.evaluation.contact_sheet import sequence_sheet
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.evaluation.predictions import ModelPredictions
from seriatim.inference.model_folder import ModelDescription, ModelSettings, write_model_folder
from seriatim.inference.predictor import Predictor
from seriatim.models.interface import TrainingContext
from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import Recipe, ValidationConfig
from seriatim.training.run import Run
from seriatim.training.scores import NUMBERS
from seriatim.training.stages import StageSettings, count_validation, set_training


def validate(run: Run, stage: StageSettings, state: RunState) -> RunState:
    """Compute the validation loss and the score of whole images, keep the best model, and draw samples, in the main process.

    Args:
        run: with images for validation, or none.
        stage: the current one.
        state: counters, updated.

    Returns:
        The updated counters, the same in all processes.
    """
    recipe, images = run.recipe, run.splits.validation
    if run.fabric.is_global_zero and len(images):
        loss, notes = validation_loss(run, stage, stage.num_objects(state))
        count_validation(state, stage, recipe.optimizer, loss)
        description = describe_model(recipe, run.splits.training.class_names)
        predictor = Predictor(run.network, description)
        origin = {}
        if run.watches_true_boxes:
            images, origin = WithTrueBoxes(images), {"boxes": "true"}
        numbers = score_images(predictor, images, recipe.validation)
        score = numbers.get(f"{recipe.validation.protocol}_score", -loss)
        if score > state.best_score:
            state.best_score = score
            write_model_folder(run.folder.model, run.network, description, half=recipe.runtime.half_weights)
        write_samples(run.folder.samples / f"{state.iteration:08d}.png", predictor, images)
        remark = run.network.remark(notes)
        told = {f"validation_{name}": value for name, value in notes.items()} | ({"remark": remark} if remark else {})
        run.log(state, {"stage": stage.name, "validation_loss": loss, "score": score, **numbers, **origin, **told})
        set_training(run.network, stage)
    return run.fabric.broadcast(state)


@torch.no_grad()
def validation_loss(run: Run, stage: StageSettings, num_objects: int | None) -> tuple[float, dict[str, float]]:
    """Means of the total loss, and of what the network notes beside it, over the first batches of the validation crops, the same at every call.

    Args:
        run: its network is left in evaluation mode.
        stage: the current one.
        num_objects: the curriculum's; None for all.
    """
    run.network.eval()
    crops = Crops(run.splits.validation, run.recipe.preparation, stage.augmentation, run.recipe.seed)
    totals, notes = [], dict[str, list[float]]()
    for number, batch in enumerate(batches(crops, stage.batch_size, 0, run.recipe.validation.num_batches)):
        context = TrainingContext(torch.Generator().manual_seed(number), num_objects)
        with run.fabric.autocast():
            terms = run.network.losses(run.fabric.to_device(batch), stage.weights, context)
        totals.append(float(torch.stack(list(terms.values())).sum()))
        for name, value in context.notes.items():
            notes.setdefault(name, []).append(value)
    return float(np.mean(totals)), {name: float(np.mean(values)) for name, values in notes.items()}


def score_images(predictor: Predictor, source: Source, config: ValidationConfig) -> dict[str, float]:
    """Numbers of a protocol over the first images of a source, by their name in the log; empty where no images are asked for.

    Args:
        predictor: holds the network.
        source: validation images.
        config: how many of them, and under which protocol.
    """
    if not config.num_images:
        return {}
    scored = Subset(source, range(min(config.num_images, len(source))))
    result = evaluate_model(predictor, scored, [config.protocol])[config.protocol]
    numbers = {f"{config.protocol}_{name}": number(result) for name, number in NUMBERS[config.protocol].items()}
    return {name: 0.0 if number is None else float(number) for name, number in numbers.items()}


def write_samples(path: Path, predictor: Predictor, source: Source, count: int = 4) -> None:
    """Draw the first images of a source with the truth and the masks in the order found.

    Args:
        path: of the PNG file.
        predictor: holds the network.
        source: validation images.
        count: maximum number of images.
    """
    samples = [source.read(index) for index in range(min(count, len(source)))]
    finder = ModelPredictions(predictor)
    write_atomically(path, sequence_sheet((one, finder.find(index, one)) for index, one in enumerate(samples)))


def describe_model(recipe: Recipe, class_names: tuple[str, ...]) -> ModelDescription:
    """What the model folder holds beside the weights; the origin of the encoder's weights is of no use there."""
    config = {key: value for key, value in recipe.model.config.items() if key != "encoder_weights"}
    return ModelDescription(
        model=ModelSettings(name=recipe.model.name, config=config),
        preparation=recipe.preparation,
        inference=recipe.inference,
        class_names=class_names,
    )
