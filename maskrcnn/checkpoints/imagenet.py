"""Bodies trained on ImageNet, as the packages that made them publish them: for `init_from: imagenet`."""

from collections.abc import Mapping
from urllib.error import URLError

from torch import Tensor

from maskrcnn.checkpoints.checkpoint import Checkpoint
from maskrcnn.config import ModelSettings, overlay, validate
from maskrcnn.model.adapted_body import timm_network
from maskrcnn.model.backbone import Backbone
from maskrcnn.model.build import build_model

IMAGENET = "imagenet"


def imagenet_weights(settings: ModelSettings) -> Checkpoint:
    """The published weights of the body of `settings`, and its published preprocessing; everything else is untrained.

    torchvision's come from its weights enum (downloaded once, checked by their sum), timm's from timm.

    Raises:
        ValueError: nobody publishes weights of such a body, or they cannot be had.
    """
    model = build_model(settings)
    body = model.backbone
    if body.published is None:
        raise ValueError(
            f"init_from imagenet: nobody publishes weights of this body ({settings.backbone}); torchvision's ResNets "
            "have norm bn or frozen_bn, stride_in_1x1 false and the default channels"
        )
    published, pixels = _published(body.published)
    tensors = _renamed(body, published, body.published, "backbone.")
    stage = model.box_head.pooler.stage
    if stage is not None:  # the paper's C4 has the body's last stage in its head
        names = {f"box_head.stage.{e}": body.published_name(f"stages.3.{e}") or "" for e in stage.state_dict()}
        tensors |= {ours: published[theirs] for ours, theirs in names.items() if theirs in published}
    values = overlay(settings.model_dump(), {"pixels": pixels})
    return Checkpoint(validate(ModelSettings, values, "init_from imagenet"), tensors, {"imported": body.published})


def published_body(body: Backbone) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The published weights of a body that has some, under its own names, and how pixels become its input, 0..255.

    Raises:
        ValueError: they cannot be had, or do not fit.
    """
    assert body.published is not None
    published, pixels = _published(body.published)
    return _renamed(body, published, body.published, ""), pixels


def _published(source: str) -> tuple[Mapping[str, Tensor], dict[str, object]]:
    package, _, name = source.partition("/")
    return (_of_torchvision if package == "torchvision" else _of_timm)(name)


def _renamed(body: Backbone, published: Mapping[str, Tensor], source: str, prefix: str) -> dict[str, Tensor]:
    tensors = {}
    for entry, own in body.state_dict().items():
        name = body.published_name(entry)
        if name is None:
            continue
        if name not in published or published[name].shape != own.shape:
            found = tuple(published[name].shape) if name in published else "nothing"
            raise ValueError(f"{source}: expected {name} of shape {tuple(own.shape)}, got {found}")
        tensors[f"{prefix}{entry}"] = published[name]
    return tensors


def _of_torchvision(name: str) -> tuple[Mapping[str, Tensor], dict[str, object]]:
    """The state of its best published weights, and how pixels become the input."""
    import torchvision.models  # takes longer to import than torch itself

    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise ValueError(
            f"init_from imagenet: the weights of {name} cannot be had from {weights.url}: {error}"
        ) from None
    transform = weights.transforms()
    return state, _pixels(transform.mean, transform.std)


def _of_timm(name: str) -> tuple[Mapping[str, Tensor], dict[str, object]]:
    network = timm_network(name, pretrained=True)
    told: dict[str, tuple[float, ...]] = getattr(network, "pretrained_cfg", None) or {}
    mean, std = told.get("mean", (0.485, 0.456, 0.406)), told.get("std", (0.229, 0.224, 0.225))
    return network.state_dict(), _pixels(mean, std)


def _pixels(mean: object, std: object) -> dict[str, object]:
    """Ours, 0..255, of numbers for pixels in 0..1."""
    assert isinstance(mean, list | tuple)
    assert isinstance(std, list | tuple)
    scaled = [tuple(round(255 * value, 4) for value in values) for values in (mean, std)]
    return {"order": "rgb", "mean": scaled[0], "std": scaled[1]}
