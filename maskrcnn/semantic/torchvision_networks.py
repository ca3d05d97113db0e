"""torchvision's own semantic networks, by name and by the entries of their state.

FCN arXiv:1411.4038, DeepLabV3 arXiv:1706.05587, LR-ASPP arXiv:1905.02244. K classes with the background.
"""

import re
from collections.abc import Mapping

from torch import Tensor, nn

NAMES = (
    "fcn_resnet50",
    "fcn_resnet101",
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "lraspp_mobilenet_v3_large",
)
"""As torchvision calls them."""
_VOC = "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant"
VOC_CLASSES = ("background", *_VOC.split(), "sheep", "sofa", "train", "tvmonitor")
"""The 21 classes of the published weights: those of PASCAL VOC."""
AUXILIARY = "aux_classifier."
"""How the entries begin that only training uses."""
_DEPTHS = {6: "resnet50", 23: "resnet101"}
"""By the number of blocks of the third stage."""


def build_torchvision(name: str, num_classes: int, *, has_auxiliary: bool = False) -> nn.Module:
    """The network of that name with random weights, for `num_classes` classes with the background.

    `has_auxiliary` adds the classifier on the third stage that torchvision trains with; LR-ASPP has none.

    Raises:
        ValueError: no such network.
    """
    if name not in NAMES:
        raise ValueError(f"expected a semantic network out of {', '.join(NAMES)}, got {name!r}")
    import torchvision.models  # takes longer to import than torch itself

    options = {} if name.startswith("lraspp") else {"aux_loss": has_auxiliary}
    return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=num_classes, **options)


def name_of(tensors: Mapping[str, Tensor]) -> str | None:
    """The network whose state has these entries; None where it is none of these.

    Raises:
        ValueError: the head of one of them on another body.
    """
    if "classifier.cbr.0.weight" in tensors:
        return "lraspp_mobilenet_v3_large"
    if "classifier.4.weight" not in tensors:
        return None
    head = "deeplabv3" if "classifier.0.convs.0.0.weight" in tensors else "fcn"
    blocks = {match[1] for name in tensors if (match := re.match(r"backbone\.layer3\.(\d+)\.conv3\.", name))}
    if len(blocks) not in _DEPTHS:
        known = ", ".join(NAMES)
        raise ValueError(f"the head of {head} on a body that is no ResNet of 50 or 101 layers; known: {known}")
    return f"{head}_{_DEPTHS[len(blocks)]}"


def num_classes_of(tensors: Mapping[str, Tensor]) -> int:
    """K, from the last layer of a state that `name_of` knows.

    Raises:
        ValueError: it has another shape than such a layer.
    """
    entry = next(name for name in ("classifier.4.weight", "classifier.low_classifier.weight") if name in tensors)
    shape = tuple(tensors[entry].shape)
    if len(shape) != 4 or shape[0] == 0:
        raise ValueError(f"{entry} has the shape {shape}, expected 4 axes, the first for the classes")
    return shape[0]
