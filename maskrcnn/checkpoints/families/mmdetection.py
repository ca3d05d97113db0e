"""mmdetection's Mask R-CNN on a ResNet or ResNeXt with FPN: its tensors under our names, and how they must be used.

Letters: K classes without the background. Source: mmdetection's public configurations, code and documentation.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from maskrcnn.checkpoints.families.coco_classes import CATEGORY_IDS, CLASS_NAMES
from maskrcnn.checkpoints.families.in_file import expect_anchors, pixels_in
from maskrcnn.checkpoints.families.mmdetection_config import MMDetectionConfig, config_of
from maskrcnn.checkpoints.families.mmdetection_keys import is_of_1x, settings_in, style_of
from maskrcnn.checkpoints.source import Conventions, Source, in_words, renamed
from maskrcnn.config import PRESETS, overlay
from maskrcnn.untrusted.excerpt import excerpt

_STYLES = {"mmdet_pytorch": "pytorch", "mmdet_caffe": "caffe"}
_NORM = "(?:bn|gn)"
_HEAD = r"(?:roi_head\.)?"  # 1.x has the heads beside one another
_MOST = 16  # layers of a head
_CONVS = (
    *((rf"neck\.lateral_convs\.{i}", f"fpn.lateral.{i}") for i in range(4)),
    *((rf"neck\.fpn_convs\.{i}", f"fpn.output.{i}") for i in range(4)),
    (rf"{_HEAD}bbox_head\.shared_convs\.(\d+)", r"box_head.convs.\1"),
    (rf"{_HEAD}mask_head\.convs\.(\d+)", r"mask_head.convs.\1"),
)
"""Its modules of a convolution and what may be its norm, and ours."""
RENAMED_MODULES = (
    (r"backbone\.conv1", "backbone.stem.conv"),
    (rf"backbone\.{_NORM}1", "backbone.stem.norm"),
    # Stages are counted from 1 there and from 0 here, so each has its own lines.
    *(
        (rf"backbone\.layer{i + 1}\.(\d+)\.{theirs}", rf"backbone.stages.{i}.\1.{ours}")
        for i in range(4)
        for theirs, ours in (
            (r"conv(\d)", r"conv\2.conv"),
            (rf"{_NORM}(\d)", r"conv\2.norm"),
            (r"downsample\.0", "shortcut.conv"),
            (r"downsample\.1", "shortcut.norm"),
        )
    ),
    *((rf"{theirs}\.conv", f"{ours}.conv") for theirs, ours in _CONVS),
    *((rf"{theirs}\.{_NORM}", f"{ours}.norm") for theirs, ours in _CONVS),
    (r"rpn_head\.rpn_conv", "rpn.convs.0.conv"),
    (r"rpn_head\.rpn_conv\.(\d+)\.conv", r"rpn.convs.\1.conv"),  # where there are several
    (r"rpn_head\.rpn_cls", "rpn.objectness"),
    (r"rpn_head\.rpn_reg", "rpn.deltas"),
    *((rf"{_HEAD}bbox_head\.shared_fcs\.{i}", f"box_head.fcs.{2 * i}") for i in range(_MOST)),  # ReLUs lie between
    (rf"{_HEAD}bbox_head\.fc_cls", "box_head.class_logits"),
    (rf"{_HEAD}bbox_head\.fc_reg", "box_head.deltas"),
    (rf"{_HEAD}mask_head\.upsample", "mask_head.deconv"),
    (rf"{_HEAD}mask_head\.conv_logits", "mask_head.logits"),
)
"""Their module, a pattern that must match as a whole, and ours."""
ENTRIES = {
    "backbone.stem.conv.weight": "backbone.conv1.weight",
    "backbone.stages.0.0.conv2.conv.weight": "backbone.layer1.0.conv2.weight",
    "fpn.lateral.0.conv.weight": "neck.lateral_convs.0.conv.weight",
    "rpn.convs.0.conv.weight": "rpn_head.rpn_conv.weight",
    "box_head.fcs.0.weight": "roi_head.bbox_head.shared_fcs.0.weight",
    "box_head.class_logits.weight": "roi_head.bbox_head.fc_cls.weight",
    "mask_head.convs.0.conv.weight": "roi_head.mask_head.convs.0.conv.weight",
    "mask_head.logits.weight": "roi_head.mask_head.conv_logits.weight",
}
"""What the network is known by: our name and theirs, as 2.x and later spell it."""
_COPY = "ema_"
"""Begins the names under which a running average keeps the last weights or its own, in place of dots underscores."""
_IGNORED = re.compile(rf"data_preprocessor\..*|{_COPY}[^.]*")
"""What `conventions` reads or mentions."""
_OTHER_NETWORKS = (
    (rf"{_HEAD}(bbox|mask)_head\.\d+\..*", "a cascade of heads"),
    (r".*\.conv\d?_offset(_mask)?\..*", "deformable convolutions"),
    (r"backbone\.stem\..*", "a deep stem (ResNet-D, ResNeSt)"),
    (r"backbone\.(?!conv1\.|bn1\.|gn1\.|layer[1-4]\.).*", "a body that is no ResNet"),
    (r".*\.downsample\.2\..*", "pooling in its shortcuts"),
    (r"backbone\..*(context_block|gen_attention_block|nonlocal_block).*", "attention in its body"),
    (rf"{_HEAD}mask_iou_head\..*", "a score for its masks (Mask Scoring R-CNN)"),
    (rf"{_HEAD}point_head\..*", "PointRend"),
    (rf"{_HEAD}shared_head\..*", "a body without a feature pyramid (C4)"),
    (rf"{_HEAD}(semantic|grid|glbctx|feat_relay)_head\..*", "further heads"),
    (rf"{_HEAD}bbox_head\.(?!fc_(cls|reg)\.|shared_(convs|fcs)\.).*", "another box head, or a single stage"),
    (r"neck\.(\d+|\w*downsample_convs|pafpn_convs)\..*", "another neck"),
    (r"rpn_head\.(conv_loc|conv_shape|feature_adaption\w*|stages)\..*", "another region proposal network"),
)
"""What else mmdetection publishes, by an entry that only it has."""
_BATCH_NORMS = ("bn", "frozen_bn")
_1X: dict[str, Any] = {"anchors": {"rounded": True, "offset": 0.5}, "roi": {"aligned": False, "sampling_ratio": 2}}
"""In 1.x a box ends on its last pixel and is one wider than the difference: with the edge of that pixel for its end,
coding, NMS, levels and RoIAlign are those of continuous edges."""
_UNLIKE_1X = "exact edges of boxes and masks, as in mmdetection 2.x"


def is_family(names: Collection[str]) -> bool:
    """Whether tensors of these names are a detector of mmdetection, of 1.x, 2.x or 3.x."""
    heads = ("rpn_head.", "roi_head.", "bbox_head.")
    return any(name.startswith("neck.") for name in names) and any(name.startswith(heads) for name in names)


def our_name(name: str) -> str:
    """Of an entry of theirs; one that is not known keeps its name."""
    return renamed(name, RENAMED_MODULES)


def convert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of our model; an entry that is not known keeps its name.

    In files of 2.x and later the background is the last logit already. In those of 1.x class 0 is the background: it
    becomes the last logit, and its deltas and mask, which nothing reads, go, from weights and biases alike. The RPN
    has no classes to reorder.

    Raises:
        ValueError: it is another network than Mask R-CNN with FPN; says which.
    """
    for pattern, what in _OTHER_NETWORKS:
        entry = next((name for name in tensors if re.fullmatch(pattern, name)), None)
        if entry:
            raise ValueError(f"expected mmdetection's Mask R-CNN with a ResNet and FPN, got one with {what}: {entry}")
    of_rpn = [tensors.get(f"rpn_head.{name}.weight") for name in ("rpn_cls", "rpn_reg")]
    num_rows = [len(tensor) for tensor in of_rpn if tensor is not None and tensor.ndim == 4]
    if len(num_rows) == 2 and 4 * num_rows[0] != num_rows[1]:
        raise ValueError(
            "rpn_head.rpn_cls.weight: the RPN's softmax can't be built here, only one row for an anchor can"
        )
    kept = {name: tensor for name, tensor in tensors.items() if not _IGNORED.fullmatch(name)}
    return {our_name(name): _without_background(name, tensor) for name, tensor in kept.items()}


def conventions(source: Source, num_classes: int, structure: dict[str, Any], preset: str | None = None) -> Conventions:
    """What makes these weights give mmdetection's numbers.

    Believed most is the config in the file, or else the .py of its name beside it, then `preset`.

    Raises:
        ValueError: `preset` is not mmdetection's, or is of the other style than the config says; the config asks for
            what cannot be built; the anchors cannot be told.
    """
    if preset not in (None, *_STYLES):
        raise ValueError(f"{source.path}: weights of mmdetection, so the preset is {' or '.join(_STYLES)}")
    config, notes = config_of(source)
    style = style_of(config) if config else None
    if config and preset and style not in (None, _STYLES[preset]):
        raise ValueError(f"{source.path}: preset {preset}, but {config.name} has style {excerpt(style)}")
    chosen = preset or ("mmdet_caffe" if style == "caffe" else "mmdet_pytorch")
    is_legacy = _has_layout_of_1x(source.tensors) or (config is not None and is_of_1x(config))
    differences = overlay(_norms(structure), _1X if is_legacy else {})
    has_bottlenecks = structure.get("backbone", {}).get("depth", 50) >= 50
    if not has_bottlenecks:  # then there is no 1x1 for a stride
        differences = overlay(differences, {"backbone": {"stride_in_1x1": False}})
    in_file = pixels_in(source, "data_preprocessor.mean", "data_preprocessor.std")
    said, replaced = settings_in(config, structure, chosen, is_legacy) if config else ({}, ())
    differences = overlay(overlay(differences, in_file), said)
    beside = source.path.with_suffix(".py").name
    remedy = f"the config of its training must say them, in the file or beside it as {beside}"
    expect_anchors(source, "rpn_head.rpn_cls.weight", differences, "", remedy)
    words = _input_in_words(said, config, in_file, chosen, preset is not None, has_bottlenecks)
    names, of_classes = _class_names(source, num_classes)
    of_1x = [_UNLIKE_1X, *_slip_of_upgrade(source.tensors)] if is_legacy else []
    has_copies = any(name.startswith(_COPY) for name in source.tensors)
    copies = [f"the weights, not their copies under {_COPY}*"] if has_copies else []
    return Conventions(
        "mmdetection 1.x" if is_legacy else "mmdetection",
        chosen,
        differences,
        class_names=names,
        category_ids=CATEGORY_IDS if names == CLASS_NAMES else (),
        facts=tuple(words[True]),
        assumptions=(*copies, *words[False], *notes, *replaced, *of_1x, *of_classes),
    )


def _has_layout_of_1x(names: Collection[str]) -> bool:
    return any(name.startswith(("bbox_head.", "mask_head.")) for name in names)


def _without_background(name: str, tensor: Tensor) -> Tensor:
    """Rows (K + 1), (4 K or 4) and (K or 1) of the class logits, deltas and masks, weight or bias, of 1.x."""
    if tensor.ndim == 0:  # damaged, which the comparison with the model tells
        return tensor
    if name.startswith("bbox_head.fc_cls."):
        return torch.cat([tensor[1:], tensor[:1]])
    if name.startswith("bbox_head.fc_reg."):
        return tensor[4:] if len(tensor) > 4 else tensor
    if name.startswith("mask_head.conv_logits."):
        return tensor[1:] if len(tensor) > 1 else tensor
    return tensor


def _norms(structure: dict[str, Any]) -> dict[str, Any]:
    """Those of the body are fixed in the presets; those that a pyramid or head has are trained."""
    places = (("fpn", "norm"), ("box_head", "conv_norm"), ("mask_head", "norm"))
    return {group: {key: "bn"} for group, key in places if structure.get(group, {}).get(key) in _BATCH_NORMS}


def _input_in_words(
    said: dict[str, Any],
    config: MMDetectionConfig | None,
    in_file: dict[str, Any],
    preset: str,
    is_chosen: bool,
    has_bottlenecks: bool,
) -> dict[bool, list[str]]:
    """The channels' order, the stride and what a config would say: what is sure (True) and what is assumed, those from
    one place together."""
    settings = overlay(overlay(PRESETS[preset], in_file), said)
    order = settings.get("pixels", {}).get("order", "rgb").upper()
    stride = f"stride in {'1x1' if settings['backbone'].get('stride_in_1x1') else '3x3'}"
    words: dict[tuple[bool, str], list[str]] = {}
    statements = [(order, "pixels", "order"), (stride, "backbone", "stride_in_1x1")]
    if not has_bottlenecks:
        statements.pop()
    if not config:
        statements.append((in_words(), "", ""))
    for word, group, key in statements:
        if config and key in said.get(group, {}):
            origin = (True, f": from {config.name}")
        elif key in in_file.get(group, {}):
            origin = (True, ": from the pixel statistics in the file")
        else:
            origin = (is_chosen, f" (preset {preset})")
        words.setdefault(origin, []).append(word)
    sentences = [(is_sure, f"{', '.join(part)}{where}") for (is_sure, where), part in words.items()]
    return {kind: [text for is_sure, text in sentences if is_sure is kind] for kind in (True, False)}


def _slip_of_upgrade(tensors: Mapping[str, Tensor]) -> list[str]:
    """A phrase where biases of the background, which are never trained, stand in the place of the first class's.

    mmdetection's own tool for files of 1.x drops the first class from weights, but the last one from biases.
    """
    biases = [tensors.get(f"roi_head.{name}.bias") for name in ("bbox_head.fc_reg", "mask_head.conv_logits")]
    has_slipped = all(
        bias is not None and bias.ndim and not bias[:rows].any() for bias, rows in zip(biases, (4, 1), strict=True)
    )
    return ["biases of boxes and masks, one class off since the upgrade to 2.x, are left so"] if has_slipped else []


def _class_names(source: Source, num_classes: int) -> tuple[tuple[str, ...], list[str]]:
    """Names of labels 0..K-1, empty where they are not known, and what was assumed about them."""
    meta = source.meta.get("meta", source.meta)
    meta = meta if isinstance(meta, Mapping) else {}
    of_data = meta.get("dataset_meta")
    places = (
        *((of_data.get("classes"), of_data.get("CLASSES")) if isinstance(of_data, Mapping) else ()),
        meta.get("CLASSES"),
    )
    names = next((place for place in places if place), None)
    names = (names,) if isinstance(names, str) else names  # CLASSES = ("nucleus") is no tuple
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, list | tuple) else []
    if isinstance(names, list | tuple) and len(set(texts)) == len(names) == num_classes:
        names = tuple(texts)
        with_spaces = tuple(name.replace("_", " ") for name in names)  # 1.x writes traffic_light
        return CLASS_NAMES if with_spaces == CLASS_NAMES else names, []
    notes = (
        [f"the {len(names)} class names in the file are of other classes"] if isinstance(names, list | tuple) else []
    )
    if num_classes == len(CLASS_NAMES):
        return CLASS_NAMES, [*notes, "the class names of COCO"]
    return (), notes
