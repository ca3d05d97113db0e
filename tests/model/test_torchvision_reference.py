"""The same weights here and in torchvision: the same numbers after every part, detections and losses.

Shown with `pytest -s`: the largest difference of each quantity, relative to its largest value.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection import roi_heads

from maskrcnn.checkpoints.importing import import_checkpoint
from maskrcnn.config import ModelSettings, overlay, validate
from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.model.build import build_model
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.model.rpn import Dense
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.mask_crops import MaskCrops
from maskrcnn.structures.targets import Targets
from tests.oracles import torchvision_models
from tests.oracles.torchvision_models import Trace

BODIES = ("resnet50", "resnet101", "resnet50_v2")
# Pictures come to at most 224 x 288, so that P5 has odd sides and P6 its uneven stride; few regions save time.
MIN_SIZE, MAX_SIZE, NUM_PROPOSALS, NUM_DETECTIONS, ALL = 224, 288, 200, 60, 50_000
DENSE, BOX, SCORE, LOSS = 1e-5, 1e-4, 1e-4, 1e-4  # allowed differences


@dataclass(frozen=True)
class Scene:
    """A batch of pictures, and what torchvision makes of it."""

    pictures: list[np.ndarray]
    trace: Trace


@dataclass
class Pair:
    """A body in both packages, with the same weights."""

    theirs: TorchvisionMaskRCNN
    ours: MaskRCNN
    scenes: dict[int, Scene] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)

    def compare(self, name: str, ours: Tensor, theirs: Tensor, allowed: float) -> None:
        assert ours.shape == theirs.shape, name
        difference = float((ours - theirs).abs().max() / theirs.abs().max())
        self.note(name, difference)
        assert difference <= allowed, f"{name} differ by {difference:.1e} of their largest value"

    def note(self, name: str, value: float) -> None:
        self.differences[name] = max(value, self.differences.get(name, 0.0))


def draw_shapes(size: tuple[int, int], seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """RGB uint8 (H, W, 3): coloured ellipses on smooth noise; and the visible part of each ellipse, bool (H, W)."""
    rng = np.random.default_rng(seed)
    height, width = size
    picture = np.full((height, width, 3), 128.0)
    for grain in (4, 12, 40):
        noise = rng.normal(scale=25, size=(height // grain + 2, width // grain + 2, 3))
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    owner = np.zeros(size, dtype=np.int32)
    for i in range(1, 13):
        x, y, a, b = rng.integers((0, 0, width // 20, height // 20), (width, height, width // 6, height // 6)).tolist()
        cv2.ellipse(owner, (x, y), (a, b), float(rng.integers(180)), 0, 360, i, -1)
        picture[owner == i] += rng.integers(-100, 100, 3)
    visible = [owner == i for i in range(1, 13) if (owner == i).sum() > 50]
    return np.clip(picture, 0, 255).astype(np.uint8), visible


def to_theirs(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).float() / 255


def to_ours(model: MaskRCNN, pictures: list[np.ndarray]) -> ImageBatch:
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    return model.normalise([model.resize(picture) for picture in pictures], sizes, model.device)


@pytest.fixture(scope="module", params=BODIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    torch.manual_seed(0)
    theirs = torchvision_models.build(
        request.param,
        min_size=MIN_SIZE,
        max_size=MAX_SIZE,
        rpn_post_nms_top_n_test=NUM_PROPOSALS,
        rpn_post_nms_top_n_train=NUM_PROPOSALS,
        box_detections_per_img=NUM_DETECTIONS,
        # Every anchor and region takes part in the losses, so that nothing is left to chance.
        rpn_batch_size_per_image=ALL,
        box_batch_size_per_image=ALL,
    )
    torchvision_models.condition(theirs, to_theirs(draw_shapes((190, 251), seed=1)[0]))
    # As a user has it: a file, of which nothing is told.
    path = tmp_path_factory.mktemp("torchvision") / "weights.pth"
    torch.save(theirs.state_dict(), path)
    imported = import_checkpoint(path)
    print(f"\n{path.name}: {imported.sentence}")
    smaller = {
        "resize": {"shortest_edge": MIN_SIZE, "longest_edge": MAX_SIZE},
        "rpn": {
            "post_nms_top_n": NUM_PROPOSALS,
            "train_post_nms_top_n": NUM_PROPOSALS,
            "anchors_per_image": ALL,
        },
        "roi": {"proposals_per_image": ALL},
        "detection": {"max_detections": NUM_DETECTIONS},
    }
    ours = build_model(validate(ModelSettings, overlay(imported.settings.model_dump(), smaller), "test")).eval()
    ours.load_state_dict(imported.tensors)
    result = Pair(theirs, ours)
    yield result
    print(f"\n{request.param}", *(f"{name}: {value:.1e}" for name, value in result.differences.items()), sep="\n  ")


@pytest.fixture(params=[1, 2], ids=["one image", "two sizes"])
def scene(request: pytest.FixtureRequest, pair: Pair) -> Scene:
    if request.param not in pair.scenes:
        pictures = [draw_shapes((380, 500), seed=2)[0]]
        if request.param == 2:
            pictures = [draw_sample((200, 330), seed=3)[0], draw_shapes((480, 600), seed=4)[0]]
        trace = torchvision_models.trace(pair.theirs, [to_theirs(picture) for picture in pictures])
        pair.scenes[request.param] = Scene(pictures, trace)
    return pair.scenes[request.param]


def nearest(boxes: Tensor, candidates: Tensor, penalty: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """For each of `boxes` (A, 4) the nearest of `candidates` (B, 4), and how far its farthest edge is, px."""
    distance, idx = ((boxes[:, None] - candidates).abs().amax(dim=2) + penalty).min(dim=1)
    return idx, distance


@torch.no_grad()
def test_every_part_gives_what_torchvisions_gives(pair: Pair, scene: Scene) -> None:
    # Each part reads what torchvision's previous part gave, so that rounding does not add up.
    ours, theirs = pair.ours, scene.trace
    images = to_ours(ours, scene.pictures)
    pair.compare("pixels", images.pixels, theirs.pixels, 1e-6)
    images = replace(images, pixels=theirs.pixels)
    dense = ours.dense(images.pixels)
    for i in range(5):
        pair.compare(f"P{i + 2}", dense.levels[i], theirs.levels[i], DENSE)
        pair.compare("objectness logits", dense.objectness_logits[i], theirs.objectness_logits[i], DENSE)
        pair.compare("rpn deltas", dense.deltas[i], theirs.deltas[i], DENSE)

    grids = [(level.shape[-2], level.shape[-1]) for level in theirs.levels]
    anchors = ours.rpn.anchors(images.padded_size, grids, ours.device)
    rules = replace(ours.rpn.rules, post_nms_top_n=torchvision_models.PUBLISHED_POST_NMS)
    proposals = ours.rpn.propose(Dense([], theirs.objectness_logits, theirs.deltas), anchors, images, rules)
    for mine, boxes in zip(proposals, theirs.all_proposals, strict=True):
        order, _ = nearest(boxes, mine.boxes)
        assert sorted(order.tolist()) == list(range(len(boxes))), "other proposals"
        pair.compare("proposals", mine.boxes[order], boxes, BOX)
        # Probabilities near 1 tie in float32, and torchvision leaves ties in any order.
        steps = mine.objectness_logits.sigmoid()[order].diff()
        assert steps.max() <= 0, "the order of the proposals is not only another one of ties"
        pair.note("proposals in another place (ties)", int((order != torch.arange(len(order))).sum()))

    boxes = torch.cat(theirs.proposals)
    image_idx = torch.arange(len(images)).repeat_interleave(torch.tensor([len(p) for p in theirs.proposals]))
    pooled = ours.box_head.pooler(theirs.levels, boxes, image_idx, images.padded_size, 7)
    class_logits, deltas = ours.box_head(pooled)
    pair.compare("class logits", class_logits.roll(1, dims=1), theirs.class_logits, DENSE)
    pair.compare("box deltas", deltas, theirs.box_deltas[:, 1:], DENSE)


@torch.no_grad()
def test_detections_are_torchvisions(pair: Pair, scene: Scene) -> None:
    # From the picture on, without help: rounding of the resized pixels goes through the whole network.
    found = pair.ours.detect(to_ours(pair.ours, scene.pictures))
    for mine, theirs in zip(found, scene.trace.detections, strict=True):
        boxes, labels, scores = theirs["boxes"], theirs["labels"], theirs["scores"]
        assert len(mine) == len(boxes) >= 20
        assert len(labels.unique()) >= 5
        pair.compare("scores by rank", mine.scores, scores, SCORE)
        # Detections whose scores differ by less than rounding may change places, or stand on either side of the limit.
        far = 1e4 * (labels[:, None] != mine.labels + 1)  # another class is another thing
        order, distance = nearest(boxes, mine.boxes, far)
        is_same = distance <= BOX * boxes.max()
        assert is_same.sum() >= len(boxes) - 1, "other detections"
        assert len(order[is_same].unique()) == is_same.sum()
        pair.compare("boxes", mine.boxes[order][is_same], boxes[is_same], BOX)
        pair.compare("scores", mine.scores[order][is_same], scores[is_same], SCORE)
        assert torch.equal(mine.labels[order][is_same], labels[is_same] - 1)
        pair.note("detections in another place", int((order != torch.arange(len(order))).sum()))
        _compare_masks(pair, mine.bitmaps()[order.numpy()], theirs["masks"][:, 0].numpy(), is_same.numpy())


def _compare_masks(pair: Pair, ours: np.ndarray, their_probs: np.ndarray, is_same: np.ndarray) -> None:
    ours, their_probs = ours[is_same], their_probs[is_same]
    theirs = their_probs > 0.5
    is_decided = np.abs(their_probs - 0.5) > 1e-3
    assert (ours == theirs)[is_decided].all()
    assert theirs.sum() > 10_000
    shared, union = (ours & theirs).sum((1, 2)), np.maximum((ours | theirs).sum((1, 2)), 1)
    iou = shared / union
    pair.note("1 - IoU of a mask", float(1 - iou.min()))
    assert (ours & theirs).sum() / (ours | theirs).sum() >= 0.9999
    # A pixel that both give nearly one half falls on either side, by processor; in a small mask it is more than 0.1%.
    assert ((union - shared) <= np.maximum(1, 0.001 * union)).all()


@torch.no_grad()
def test_losses_are_torchvisions(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    # At sizes that need no resizing, so that boxes and masks are the same in both.
    drawn = [draw_shapes((224, 288), seed=5), draw_shapes((200, 288), seed=6)]
    rng = np.random.default_rng(0)
    their_targets, our_targets = [], []
    for _, bitmaps in drawn:
        boxes = torch.tensor(
            [[x.min(), y.min(), x.max() + 1, y.max() + 1] for y, x in map(np.nonzero, bitmaps)]
        ).float()
        labels = torch.from_numpy(rng.integers(1, 91, len(bitmaps)))
        masks = MaskCrops.from_bitmaps([(0, 0, bitmap) for bitmap in bitmaps])
        their_targets.append({"boxes": boxes, "labels": labels, "masks": torch.from_numpy(np.stack(bitmaps)).byte()})
        our_targets.append(Targets(boxes, labels - 1, masks, torch.zeros(0, 4)))

    # Their mask targets are the mean of the mask over each cell, half a pixel aside; ours are 0 or 1, the mask at the
    # cell's centre. So their loss is taken a second time, with our targets.
    mask_loss, hard_mask_loss = roi_heads.maskrcnn_loss, []

    def with_hard_targets(logits: Tensor, boxes: list[Tensor], *rest: list[Tensor]) -> Tensor:
        masks = iter([targets.masks for targets in our_targets])
        with monkeypatch.context() as patch:
            patch.setattr(roi_heads, "project_masks_on_boxes", lambda _, b, idx, m: next(masks).sample(b, idx, m))
            hard_mask_loss.append(mask_loss(logits, boxes, *rest))
        assert len(logits) > sum(map(len, our_targets)), "no proposal is positive"
        return mask_loss(logits, boxes, *rest)

    monkeypatch.setattr(roi_heads, "maskrcnn_loss", with_hard_targets)
    # Copies, because batch norm moves its statistics.
    theirs = copy.deepcopy(pair.theirs).train()([to_theirs(picture) for picture, _ in drawn], their_targets)
    ours = copy.deepcopy(pair.ours).train()(to_ours(pair.ours, [picture for picture, _ in drawn]), our_targets)
    pair.compare("rpn_objectness loss", ours["rpn_objectness"], theirs["loss_objectness"], LOSS)
    pair.compare("rpn_box loss", ours["rpn_box"], theirs["loss_rpn_box_reg"], LOSS)
    pair.compare("class loss", ours["class"], theirs["loss_classifier"], LOSS)
    pair.compare("box loss", ours["box"], theirs["loss_box_reg"], LOSS)
    pair.compare("mask loss, our targets", ours["mask"], hard_mask_loss[0], LOSS)
    pair.compare("mask loss, their targets", ours["mask"], theirs["loss_mask"], 0.1)
