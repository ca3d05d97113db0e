"""Bodies of other packages under our contract: classification networks of torchvision, and of timm where it is there.

Letters: N images, C channels.
"""

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskrcnn.model.backbone import Backbone
from maskrcnn.model.layers import FrozenBatchNorm

FINEST = 4  # stride of the first map that is given
PROBE_PX = 128  # side of the picture that shows what the layers do
NormsOfBody = Literal["own", "frozen_bn"]


class TorchvisionBody(Backbone):
    """A network of torchvision up to its classifier; gives the last map of each stride from 4 on.

    Networks with layer norms (ConvNeXt, Swin) get one more on every map, as their authors have it in detectors
    (arXiv:2103.14030, arXiv:2201.03545).

    Raises:
        ValueError: `frozen_bn` for a network that has no batch norms.
    """

    def __init__(self, name: str, *, norm: NormsOfBody = "own", frozen_stages: int = 0) -> None:
        super().__init__()
        import torchvision.models  # takes longer to import than torch itself

        self.published = f"torchvision/{name}"
        features = torchvision.models.get_model(name, weights=None).get_submodule("features")
        assert isinstance(features, nn.Sequential)
        self.features = features
        self.is_channels_last = name.startswith("swin")
        strides, channels = _measure(features, self.is_channels_last)
        # The last layer of each stride ends a stage.
        last = {stride: i for i, stride in enumerate(strides)}
        self.ends = [i for stride, i in last.items() if stride >= FINEST]
        self.strides, self.channels = tuple(strides[i] for i in self.ends), tuple(channels[i] for i in self.ends)
        has_batch_norms = any(isinstance(module, nn.BatchNorm2d) for module in self.features.modules())
        self.norms = nn.ModuleList() if has_batch_norms else nn.ModuleList(map(nn.LayerNorm, self.channels))
        if norm == "frozen_bn":
            _fix_batch_norms(self.features, name)
        self.freeze(frozen_stages)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """A map for each of `strides`, (N, C, H / stride, W / stride), from (N, 3, H, W)."""
        stem, *stages = self.parts()
        x, maps = stem(pixels), []
        for i, stage in enumerate(stages):
            x = stage(x)
            given = x
            if len(self.norms):
                given = self.norms[i](x if self.is_channels_last else x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            maps.append(given)
        return maps

    def parts(self) -> list[nn.Module]:
        """The first layer, and what follows up to each map."""
        layers = list(self.features.children())
        bounds = [0, 1, *(end + 1 for end in self.ends)]
        return [nn.Sequential(*layers[first:behind]) for first, behind in pairwise(bounds)]

    def published_name(self, entry: str) -> str | None:
        """Ours are theirs, but for the norms on the maps."""
        return entry if entry.startswith("features.") else None


class TimmBody(Backbone):
    """A network of timm up to its classifier; gives its maps from stride 4 on.

    Raises:
        ValueError: timm is not installed, has no such network, or it gives no maps.
    """

    def __init__(self, name: str, *, norm: NormsOfBody = "own", frozen_stages: int = 0) -> None:
        super().__init__()
        self.published = f"timm/{name}"
        self.body = timm_network(name, pretrained=False)
        info: Any = self.body.feature_info
        strides, channels = info.reduction(), info.channels()
        self.given = [i for i, stride in enumerate(strides) if stride >= FINEST]
        self.strides, self.channels = tuple(strides[i] for i in self.given), tuple(channels[i] for i in self.given)
        if norm == "frozen_bn":
            _fix_batch_norms(self.body, name)
        self.freeze(frozen_stages)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """A map for each of `strides`, (N, C, H / stride, W / stride), from (N, 3, H, W)."""
        maps = self.body(pixels)
        maps = [maps[i] for i in self.given]
        # Some of timm's networks have their channels last.
        return [x if x.shape[1] == c else x.permute(0, 3, 1, 2) for x, c in zip(maps, self.channels, strict=True)]

    def parts(self) -> list[nn.Module]:
        """What leads to each map; all of it as one where timm does not run its layers one after the other."""
        layers = getattr(self.body, "return_layers", None)
        children = list(self.body.named_children())
        names = [name for name, _ in children]
        if not isinstance(layers, dict) or not set(layers) <= set(names):
            return [self.body]
        ends = sorted(names.index(name) + 1 for name in layers)
        return [nn.Sequential(*(child for _, child in children[a:b])) for a, b in pairwise([0, *ends])]

    def published_name(self, entry: str) -> str:
        """Ours are theirs."""
        return entry.removeprefix("body.")


def timm_network(name: str, *, pretrained: bool) -> nn.Module:
    """The network `name` of timm with a list of maps as its output, with weights trained on ImageNet or without.

    Raises:
        ValueError: timm is not installed, has no such network or weights, or it gives no maps.
    """
    try:
        import timm  # an extra
    except ImportError:
        raise ValueError(f'backbone {name} is of timm, which is not installed: pip install "maskrcnn[timm]"') from None
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True)
    except (RuntimeError, ValueError, AttributeError, OSError) as error:
        raise ValueError(f"backbone.name: timm cannot make a body of {name!r}: {error}") from None


def _measure(features: nn.Sequential, is_channels_last: bool) -> tuple[list[int], list[int]]:
    """Stride and channels behind each layer."""
    strides, channels = [], []
    features.eval()
    with torch.no_grad():
        x = torch.zeros(1, 3, PROBE_PX, PROBE_PX)
        for layer in features:
            x = layer(x)
            strides.append(PROBE_PX // x.shape[1 if is_channels_last else 2])
            channels.append(x.shape[3 if is_channels_last else 1])
    features.train()
    return strides, channels


def _fix_batch_norms(body: nn.Module, name: str) -> None:
    """Turn every batch norm of `body` into one whose statistics and affine never change."""
    norms = [
        (module, leaf, norm)
        for module in body.modules()
        for leaf, norm in module.named_children()
        if isinstance(norm, nn.BatchNorm2d)
    ]
    if not norms:
        raise ValueError(f"backbone.norm: {name} has no batch norms that could be frozen_bn; leave it own")
    for module, leaf, norm in norms:
        setattr(module, leaf, FrozenBatchNorm(norm.num_features, norm.eps))
