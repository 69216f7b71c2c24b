"""What R2-IOS reads from the features of a proposal (Sec. 3.1, 3.2; Fig. 2): the mask of its dominant object, then its class and offsets.

MaskHead        RoI features -> two 1x1 convolutions -> confidence maps C -> autoencoder -> v
RefinementHead  RoI features -> fc6, fc7, joined by v (segmentation-aware features) -> K + 1 confidences and as many offsets
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.nn.denoising_autoencoder import DenoisingAutoencoder, initialise
from seriatim.nn.fcn import not_vgg16, read_vgg16
from seriatim.nn.roi import Pooling, pool_boxes

Rebuilding = Literal["autoencoder", "fully_connected", "none"]
"""What makes v of C: the autoencoder, two fully connected layers as wide as C, or nothing (v = C)."""

CLASS_DEVIATION, BOX_DEVIATION = 0.01, 0.001
"""Standard deviations of the first weights of the two output layers (Sec. 4.1)."""


class MaskHead(nn.Module):
    """v of every proposal, as logits of background and foreground."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        side: int,
        stride: int,
        pooling: Pooling,
        rebuilding: Rebuilding,
        hidden: int,
        output_relu: bool,
        deviation: float | None,
    ) -> None:
        """
        Args:
            in_channels: of the map.
            channels: between the two convolutions.
            side: cells of a RoI, along and across.
            stride: width of a cell of the map in pixels.
            pooling: of the RoIs.
            rebuilding: what makes v of C.
            hidden: numbers of the hidden representation of the autoencoder.
            output_relu: whether ReLU follows the last layer of the autoencoder.
            deviation: of the first weights; None for those of He et al.
        """
        super().__init__()
        self.side, self.stride = side, stride
        self.pooling: Pooling = pooling
        self.first, self.last = nn.Conv2d(in_channels, channels, 1), nn.Conv2d(channels, 2, 1)
        for layer in (self.first, self.last):
            initialise(layer, deviation)
        self.autoencoder = None
        if rebuilding != "none":
            width = 2 * side * side if rebuilding == "fully_connected" else hidden
            self.autoencoder = DenoisingAutoencoder(side, width, output_relu, deviation)

    def project(self, features: Float[Tensor, "batch channels rows columns"]) -> Tensor:
        """What of the head can be done once for the whole map.

        The first convolution is linear, as `align` is, so the two can change places; the bias is added to the RoIs, since samples beyond the map are 0.
        """
        return features if self.pooling == "max" else F.conv2d(features, self.first.weight)

    def forward(
        self,
        projected: Float[Tensor, "batch channels rows columns"],
        boxes: Float[Tensor, "boxes 4"],
        images: Int[Tensor, " boxes"],
    ) -> Float[Tensor, "boxes 2 side side"]:
        """v of every box.

        Args:
            projected: of `project`.
            boxes: in pixels.
            images: number of the image that each box lies in.
        """
        regions = pool_boxes(projected, boxes, images, self.side, self.stride, self.pooling)
        bias = self.first.bias.view(1, -1, 1, 1)  # pyright: ignore[reportOptionalMemberAccess]
        maps = self.last((self.first(regions) if self.pooling == "max" else regions + bias).relu())
        return maps if self.autoencoder is None else self.autoencoder(maps)


class RefinementHead(nn.Module):
    """Confidences and offsets of every proposal."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        side: int,
        stride: int,
        pooling: Pooling,
        num_labels: int,
        seen_values: int,
        dropout: float = 0.0,
    ) -> None:
        """
        Args:
            in_channels: of the map.
            channels: of fc6 and fc7.
            side: cells of a RoI, along and across.
            stride: width of a cell of the map in pixels.
            pooling: of the RoIs.
            num_labels: K + 1.
            seen_values: numbers of v that join the features; 0 for none.
            dropout: share of the values behind fc6 and fc7 that are left out in training.
        """
        super().__init__()
        self.side, self.stride, self.dropout, self.num_labels = side, stride, dropout, num_labels
        self.pooling: Pooling = pooling
        self.fc6, self.fc7 = nn.Linear(in_channels * side * side, channels), nn.Linear(channels, channels)
        self.class_head = nn.Linear(channels + seen_values, num_labels)
        self.box_head = nn.Linear(channels + seen_values, 4 * num_labels)
        self.joins_masks = seen_values > 0
        initialise(self.fc6, None)
        initialise(self.fc7, None)
        initialise(self.class_head, CLASS_DEVIATION)
        initialise(self.box_head, BOX_DEVIATION)

    def forward(
        self,
        features: Float[Tensor, "batch channels rows columns"],
        boxes: Float[Tensor, "boxes 4"],
        images: Int[Tensor, " boxes"],
        mask_logits: Float[Tensor, "boxes 2 mask_side mask_side"],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "boxes labels"], Float[Tensor, "boxes labels 4"]]:
        """Logits of the background and the classes, and the offsets (y, x, h, w) of each.

        Args:
            features: of the images.
            boxes: in pixels.
            images: number of the image that each box lies in.
            mask_logits: v.
            generator: of the values that are left out, on the CPU; None leaves none out.
        """
        values = pool_boxes(features, boxes, images, self.side, self.stride, self.pooling).flatten(1)
        for layer in (self.fc6, self.fc7):
            values = self._leave_out(layer(values).relu(), generator)
        if self.joins_masks:
            values = torch.cat((values, mask_logits.softmax(dim=1).flatten(1).to(values.dtype)), dim=1)
        return self.class_head(values), self.box_head(values).view(len(values), self.num_labels, 4)

    def load_vgg16(self, weights: str, input_channels: int) -> None:
        """Begin with fc6 and fc7 of torchvision's vgg16.

        Args:
            weights: "hub" or the path of a state dict.
            input_channels: of the images.

        Raises:
            CheckpointError: if the weights are not available or do not fit.
        """
        given = read_vgg16(weights, input_channels)
        try:
            with torch.no_grad():
                for number, layer in enumerate((self.fc6, self.fc7)):
                    layer.weight.copy_(given[f"classifier.{3 * number}.weight"])
                    layer.bias.copy_(given[f"classifier.{3 * number}.bias"])
        except (KeyError, RuntimeError) as error:
            raise not_vgg16(weights, error) from None

    def _leave_out(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return values
        is_kept = (torch.rand(values.shape, generator=generator) >= self.dropout).to(values.device)
        return values * is_kept / (1 - self.dropout)
