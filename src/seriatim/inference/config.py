"""How a network is used; the settings travel with the weights."""

from typing import Literal

from pydantic import Field, model_validator

from seriatim.core.config import Config
from seriatim.inference.overlaps import OverlapRule


class CRFConfig(Config):
    """The dense CRF that refines outlines on request (`inference/refinement.py`); lengths in median diameters of an image's objects."""

    certainty: float = Field(default=0.8, gt=0.5, lt=1)
    """Probability that a found mask is right in a pixel."""
    reach: float = Field(default=0.25, gt=0)
    """How far outside its box an object may grow."""
    theta_alpha: float = Field(default=0.5, gt=0)
    """Reach of the appearance kernel."""
    theta_beta: float = Field(default=10.0, gt=0)
    """Tolerance of colour of the appearance kernel, in levels of 0..255."""
    theta_gamma: float = Field(default=0.1, gt=0)
    """Reach of the smoothness kernel."""
    bilateral_weight: float = Field(default=4.0, ge=0)
    """Weight of the appearance kernel."""
    spatial_weight: float = Field(default=3.0, ge=0)
    """Weight of the smoothness kernel."""
    num_mean_field_iterations: int = Field(default=5, ge=1)
    """Refinements of the mean field."""


class InferenceConfig(Config):
    """Tiles, their joining, and which objects count."""

    tile_size: int = Field(default=256, ge=64, multiple_of=32)
    """Side of a tile in pixels, as the network sees them; larger images are cut into overlapping tiles."""
    overlap: int = Field(default=64, ge=0)
    """Least overlap of neighbouring tiles in pixels; an object smaller than this is seen whole by at least one tile."""
    tile_batch: int = Field(default=4, ge=1)
    """Tiles that the network sees together."""
    border_margin: int = Field(default=2, ge=1)
    """A mask that comes nearer than this many pixels to an inner border of its tile counts as cut by it."""
    join_overlap: float = Field(default=0.4, gt=0, le=1)
    """Two cut parts are one object if they agree in the strip that both tiles see: intersection over union of at least this."""
    overlaps: OverlapRule = "earlier"
    """Who keeps a pixel of two objects: the one found earlier (RIS Sec. 4.1), the later one, the one with the better score, or both (`keep`)."""
    max_hidden: float = Field(default=0.5, gt=0, le=1)
    """An object is dropped as found twice if more than this share of it belongs to objects that keep their pixels before it; 1 drops none."""
    solid: bool = False
    """Every object is its largest connected part, with its holes filled."""
    min_area: int = Field(default=1, ge=1)
    """Objects with fewer pixels of the original image are dropped."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network."""
    detector: str | None = None
    """Of a model that takes boxes: the model whose objects' boxes it takes where none are given, a zoo name, run folder or model folder; None: boxes
    must be given."""
    crf: CRFConfig = CRFConfig()
    """Of the refinement, where it is asked for."""

    @model_validator(mode="after")
    def _overlap_fits(self) -> "InferenceConfig":
        if 2 * self.overlap > self.tile_size:
            raise ValueError(f"overlap: at most half of tile_size ({self.tile_size // 2}), got {self.overlap}")
        return self
