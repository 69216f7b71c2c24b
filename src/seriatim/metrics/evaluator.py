"""`evaluate` and `Evaluator`: images scored under one protocol, or one at a time under several, with intervals over images."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.core.errors import ConfigError, DataError
from seriatim.metrics.example import Example
from seriatim.metrics.protocols import PROTOCOLS, check_protocol
from seriatim.metrics.scoring import Pool, Weights

CONFIDENCE = 0.95
"""Share of the resampled data sets whose number lies in an interval."""


def evaluate(examples: Iterable[Example], protocol: str) -> dict[str, Any]:
    """The scores of a data set under one official protocol.

    Args:
        examples: truth and predictions of every image, in the order in which equal scores are to be ranked.
        protocol: a name of `PROTOCOLS`.

    Returns:
        The result under the keys that the protocol's file documents: plain Python dicts, lists and numbers.

    Raises:
        ConfigError: if no protocol has this name.
        DataError: if there is no example, something else is among them, or the protocol cannot take one.

    >>> labels = np.array([[0, 1], [2, 2]])
    >>> evaluate([Example(labels, pred_masks=np.stack([labels == 2, labels == 1]))], protocol="cvppp")["SBD"]
    {'mean': 1.0, 'std': 0.0}
    """
    evaluator = Evaluator([protocol])
    for index, example in enumerate(examples):
        if not isinstance(example, Example):
            raise DataError(f"examples[{index}]: expected an Example, got {type(example).__name__}")
        evaluator.add(example)
    return evaluator.result(protocol)


class Evaluator:
    """Scores of images that are added one at a time; of each only small tables are kept, no mask and no label map.

    >>> labels = np.array([[0, 1], [2, 2]])
    >>> evaluator = Evaluator(["cvppp", "sds"])
    >>> evaluator.add(Example.from_label_maps(labels, labels))
    >>> evaluator.add(Example.from_label_maps(labels, labels * 0))
    >>> evaluator.result("sds")["AP_vol"], evaluator.ratings("cvppp")[1]["quality"]
    (0.5, 0.0)
    >>> evaluator.intervals("cvppp", num_resamples=100)["SBD"]
    [0.0, 1.0]
    """

    def __init__(self, protocols: Iterable[str]) -> None:
        """
        Args:
            protocols: names of `PROTOCOLS`.

        Raises:
            ConfigError: if no protocol has such a name.
        """
        self.protocols = tuple(dict.fromkeys(protocols))
        for name in self.protocols:
            check_protocol(name)
        self._tables: dict[str, list[Any]] = {name: [] for name in self.protocols}
        self._pools: dict[str, Pool] = {}
        self.num_images = 0

    def add(self, example: Example) -> None:
        """Score one more image.

        Raises:
            DataError: if a protocol cannot take it.
        """
        found = {}
        for name in self.protocols:
            try:
                found[name] = PROTOCOLS[name].tabulate(example)
            except DataError as error:
                raise DataError(f"examples[{self.num_images}]: protocol {name!r}: {error}") from error
        for name, table in found.items():
            self._tables[name].append(table)
        self.num_images += 1
        self._pools.clear()

    def result(self, protocol: str) -> dict[str, Any]:
        """The same as `evaluate` of all examples.

        Raises:
            ConfigError: if the protocol is not of this evaluator.
            DataError: if no image was added.
        """
        return self._pool(protocol).result()

    def ratings(self, protocol: str) -> list[dict[str, Any]]:
        """Of each image its own numbers, as if it were the whole data set.

        The first is `quality`, by which images can be sorted: one number, larger is better; None where nothing can be said of the
        image. An image in which there is nothing and nothing was found has 1. Which number it is says the protocol's file.

        Raises:
            ConfigError: if the protocol is not of this evaluator.
        """
        self._check(protocol)
        return [PROTOCOLS[protocol].rate(table) for table in self._tables[protocol]]

    def intervals(self, protocol: str, num_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
        """The 95 % percentile bootstrap interval of every headline number, under the keys of the result: [low, high].

        A data set of as many images is drawn from the images, with replacement, `num_resamples` times, and the protocol is computed
        on each; the interval goes from the 2.5th to the 97.5th percentile. It says how much the number would vary if other images
        of the same kind had been taken, the model staying as it is. It says nothing about training again, about images of another
        kind, or about whether two models differ (their numbers on the same images vary together). With few images it is too narrow.

        A resample in which a number is undefined (no target in it, say) is left out of that number's interval. None stands for an
        interval where the number itself is undefined, and for all of them where there are fewer than two images.

        Args:
            protocol: one of this evaluator.
            num_resamples: at least 1.
            seed: the same seed and images give the same intervals; all protocols see the same draws.

        Raises:
            ConfigError: if the protocol is not of this evaluator or there is no resample.
            DataError: if no image was added.

        Source:
            Efron and Tibshirani, "An introduction to the bootstrap", 1993, Sec. 13.3.
        """
        pool = self._pool(protocol)
        defined = pool.resample(np.ones((1, self.num_images)))
        drawn = self.resampled(protocol, num_resamples, seed)
        if self.num_images < 2:
            return _map_numbers(lambda value: None, defined)
        return _map_numbers(_interval, defined, drawn)

    def resampled(self, protocol: str, num_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
        """Every headline number of each data set that `intervals` draws, under the keys of the result.

        Args:
            protocol: one of this evaluator.
            num_resamples: at least 1.
            seed: see `intervals`.

        Returns:
            Arrays (resamples,), NaN where a number is undefined.

        Raises:
            ConfigError: if the protocol is not of this evaluator or there is no resample.
            DataError: if no image was added.
        """
        if num_resamples < 1:
            raise ConfigError(f"num_resamples: expected at least 1, got {num_resamples}")
        return self._pool(protocol).resample(draw_weights(self.num_images, num_resamples, seed))

    def _pool(self, protocol: str) -> Pool:
        self._check(protocol)
        if not self.num_images:
            raise DataError(f"protocol {protocol!r}: needs at least one image, got none")
        if protocol not in self._pools:
            self._pools[protocol] = PROTOCOLS[protocol].pool(self._tables[protocol])
        return self._pools[protocol]

    def _check(self, protocol: str) -> None:
        if protocol not in self._tables:
            raise ConfigError(f"protocol {protocol!r}: not among those of this evaluator ({', '.join(self.protocols)})")


def difference_intervals(
    first: Evaluator, second: Evaluator, protocol: str, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The 95 % percentile bootstrap interval of the second's headline numbers minus the first's, paired: both see the same draws of images.

    Args:
        first: of the images under one condition.
        second: of the same images, in the same order, under another.
        protocol: one of both.
        num_resamples: see `Evaluator.intervals`, whose keys and cases of None this has.
        seed: the same.

    Raises:
        ConfigError: if the protocol is not of both, there is no resample, or the numbers of images differ.
        DataError: if no image was added.

    >>> labels = np.array([[0, 1], [2, 2]])
    >>> right, wrong = Evaluator(["cvppp"]), Evaluator(["cvppp"])
    >>> for _ in range(3):
    ...     right.add(Example.from_label_maps(labels, labels))
    ...     wrong.add(Example.from_label_maps(labels, labels * 0))
    >>> difference_intervals(right, wrong, "cvppp")["SBD"]
    [-1.0, -1.0]
    """
    if first.num_images != second.num_images:
        raise ConfigError(f"difference: needs the same images, got {first.num_images} and {second.num_images}")
    one, other = (evaluator.resampled(protocol, num_resamples, seed) for evaluator in (first, second))
    if first.num_images < 2:
        return _map_numbers(lambda *drawn: None, one, other)
    return _map_numbers(lambda before, after: percentile_interval(after - before), one, other)


def draw_weights(num_images: int, num_resamples: int, seed: int) -> Weights:
    """How often each image is in each data set of as many images drawn with replacement."""
    draws = np.random.default_rng(seed).integers(0, num_images, (num_resamples, num_images))
    cells = draws + num_images * np.arange(num_resamples)[:, None]
    counts = np.bincount(cells.ravel(), minlength=num_resamples * num_images)
    return counts.reshape(num_resamples, num_images).astype(np.float64)


def _map_numbers(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """The same nested dicts and lists, with the function's value of the arrays at each place."""
    if isinstance(first, Mapping):
        return {key: _map_numbers(function, value, *(other[key] for other in others)) for key, value in first.items()}
    if isinstance(first, list):
        return [_map_numbers(function, *values) for values in zip(first, *others, strict=True)]
    return function(first, *others)


def _interval(value: Float64[np.ndarray, " 1"], drawn: Float64[np.ndarray, " resamples"]) -> list[float] | None:
    return None if np.isnan(value[0]) else percentile_interval(drawn)


def percentile_interval(drawn: Float64[np.ndarray, " resamples"]) -> list[float] | None:
    """From the 2.5th to the 97.5th percentile of the values that are known (not NaN); None where none is."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    return [float(edge) for edge in np.percentile(drawn, (tail, 100 - tail))]
