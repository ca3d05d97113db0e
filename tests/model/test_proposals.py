"""Proposals: every rule on a handful of boxes. Deltas of 0 make each anchor its own candidate."""

from typing import Any

import pytest
import torch
from torch import Tensor

from maskrcnn.model.rpn import RPN, Dense, ProposalRules, Proposals
from maskrcnn.structures.image_batch import ImageBatch

NMS_OFF: dict[str, Any] = {"nms_threshold": 1.0}


def image_batch(size: tuple[int, int] = (100, 100), padded: tuple[int, int] = (128, 128), origin=(0, 0)) -> ImageBatch:
    return ImageBatch(torch.zeros(1, 3, *padded), (size,), (size,), (origin,))


def propose(
    levels: list[tuple[list[list[float]], list[float]]],
    images: ImageBatch | None = None,
    edge: float = 0.0,
    deltas: list[Tensor] | None = None,
    **rules: Any,
) -> Proposals:
    """Proposals of one image from levels of (boxes, logits)."""
    anchors = [torch.tensor(boxes) for boxes, _ in levels]
    logits = [torch.tensor([values]) for _, values in levels]
    deltas = deltas or [torch.zeros(1, len(level), 4) for level in anchors]
    dense = Dense([], logits, deltas)
    return RPN(4, edge=edge).propose(dense, anchors, images or image_batch(), ProposalRules(**rules))[0]


def squares(num: int, start: float = 0.0) -> list[list[float]]:
    """Boxes of 8 px side by side that do not touch."""
    return [[start + 10 * i, start, start + 10 * i + 8, start + 8] for i in range(num)]


def test_the_best_come_first_from_all_levels():
    found = propose([(squares(2), [1.0, 3.0]), (squares(2, 40), [2.0, -4.0])])
    assert found.objectness_logits.tolist() == [3, 2, 1, -4]
    assert found.boxes.tolist() == [squares(2)[1], squares(2, 40)[0], squares(2)[0], squares(2, 40)[1]]


def test_pre_nms_limit_per_level_or_per_image():
    levels = [(squares(3), [5.0, 4.0, 3.0]), (squares(3, 40), [2.0, 1.0, 0.5])]
    assert propose(levels, pre_nms_top_n=2).objectness_logits.tolist() == [5, 4, 2, 1]
    per_image = propose(levels, pre_nms_top_n=2, pre_nms_scope="image")
    assert per_image.objectness_logits.tolist() == [5, 4]
    assert propose(levels, pre_nms_top_n=4, pre_nms_scope="image").objectness_logits.tolist() == [5, 4, 3, 2]


def test_nms_per_level_or_across_levels():
    levels = [(squares(1), [1.0]), (squares(1), [2.0])]
    assert propose(levels).objectness_logits.tolist() == [2, 1]
    assert propose(levels, nms_scope="image").objectness_logits.tolist() == [2]
    assert propose(levels, nms_scope="image", **NMS_OFF).objectness_logits.tolist() == [2, 1]


def test_probabilities_saturate_and_tie_where_logits_do_not():
    # sigmoid(20) and sigmoid(30) are both exactly 1 in float32, so the first level comes first.
    levels = [(squares(1), [20.0]), (squares(1), [30.0])]
    assert propose(levels, nms_scope="image", rank_by="logit").objectness_logits.tolist() == [30]
    assert propose(levels, nms_scope="image", rank_by="probability").objectness_logits.tolist() == [20]
    within = [(squares(1) * 2, [20.0, 30.0])]  # what goes into NMS is chosen by logit either way
    assert propose(within, rank_by="probability").objectness_logits.tolist() == [30]


def test_the_smallest_side():
    boxes = [[0.0, 0, 5, 5], [10, 0, 14, 30], [20, 0, 20, 30], [30.0, 0, 30.5, 1]]
    logits = [4.0, 3.0, 2.0, 1.0]
    assert propose([(boxes, logits)]).objectness_logits.tolist() == [4, 3, 1]  # without any area it goes anyway
    assert propose([(boxes, logits)], min_size=5.0).objectness_logits.tolist() == [4]  # exactly 5 stays


def test_clipped_to_the_image_or_to_the_frame():
    images = image_batch((40, 60), (128, 128), origin=(20, 30))  # the image spans x 30..90, y 20..60
    level = [([[0.0, 0, 200, 50], [100, 0, 120, 10]], [2.0, 1.0])]
    assert propose(level, images).boxes.tolist() == [[30, 20, 90, 50]]  # the second one lies in the padding
    to_frame = propose(level, images, clip_to="padded")
    assert to_frame.boxes.tolist() == [[0, 0, 128, 50], [100, 0, 120, 10]]


def test_a_narrow_region_is_one():
    level = [([[10.0, 0, 10.25, 30], [20, 0, 50, 0.75]], [2.0, 1.0])]
    assert propose(level).objectness_logits.tolist() == [2, 1]


def test_inclusive_boxes():
    # The anchor 0..8 covers the pixels 0..7; clipping ends on the last pixel's index; one pixel is a region too.
    level = [([[0.0, 0, 8, 8], [90, 90, 130, 130], [20, 20, 21, 21]], [3.0, 2.0, 1.0])]
    found = propose(level, edge=1.0)
    assert found.boxes.tolist() == [[0, 0, 7, 7], [90, 90, 99, 99], [20, 20, 20, 20]]


def test_deltas_are_decoded_with_the_weights_and_the_clamp():
    # dx of 10 / 10 moves by a width; dw of 99 grows without limit up to the image, or by 62.5 at most: 8 * 62.5 = 500.
    deltas = [torch.tensor([[[10.0, 0, 0, 0]]])]
    anchor = torch.tensor([[0.0, 0, 8, 8]])
    rpn = RPN(4, delta_weights=(10, 10, 5, 5), delta_clamp="none")
    found = rpn.propose(Dense([], [torch.ones(1, 1)], deltas), [anchor], image_batch(), ProposalRules())[0]
    assert found.boxes.tolist() == [[8, 0, 16, 8]]
    wide = [torch.tensor([[[0.0, 0, 99, 0]]])]
    for clamp, width in (("max", 500), ("none", 2000)):
        rpn = RPN(4, delta_clamp=clamp)
        frame = image_batch((10, 2000), (32, 2016))
        anchor = torch.tensor([[996.0, 0, 1004, 8]])
        found = rpn.propose(Dense([], [torch.ones(1, 1)], wide), [anchor], frame, ProposalRules())[0]
        assert (found.boxes[0, 2] - found.boxes[0, 0]).item() == pytest.approx(width, rel=1e-4)


def test_what_is_no_number_goes():
    deltas = [torch.tensor([[[float("nan"), 0, 0, 0], [0, 0, 0, 0]]])]
    assert propose([(squares(2), [2.0, 1.0])], deltas=deltas).objectness_logits.tolist() == [1]


class TestLimitsThatWereHit:
    """A limit is reported when something that looked like an object, with a positive logit, was cut."""

    levels = ((squares(3), [3.0, 2.0, 1.0]), (squares(3, 40), [0.5, -1.0, -2.0]))

    @pytest.mark.parametrize(
        ("rules", "pre", "post"),
        [
            ({"pre_nms_top_n": 2}, True, False),
            ({"pre_nms_top_n": 3}, False, False),
            ({"pre_nms_top_n": 3, "pre_nms_scope": "image"}, True, False),
            ({"pre_nms_top_n": 4, "pre_nms_scope": "image"}, False, False),  # only -1 and -2 are lost
            ({"post_nms_top_n": 3}, False, True),
            ({"post_nms_top_n": 4}, False, False),
            ({"pre_nms_top_n": 1, "post_nms_top_n": 1}, True, True),
            ({}, False, False),
        ],
    )
    def test_flags(self, rules: dict[str, Any], pre: bool, post: bool):
        found = propose(list(self.levels), **rules)
        assert (bool(found.hit_pre_nms), bool(found.hit_post_nms)) == (pre, post)

    def test_an_even_chance_is_not_likely(self):
        # What is cut has a logit of 0: within its level, among all levels, and after NMS.
        level = [(squares(2), [2.0, 0.0])]
        assert not propose(level, pre_nms_top_n=1).hit_pre_nms
        assert not propose(level, post_nms_top_n=1).hit_post_nms
        levels = [(squares(1), [2.0]), (squares(1, 40), [0.0])]
        assert not propose(levels, pre_nms_top_n=1, pre_nms_scope="image").hit_pre_nms
        assert propose([levels[0], (squares(1, 40), [0.1])], pre_nms_top_n=1, pre_nms_scope="image").hit_pre_nms

    def test_what_nms_took_is_not_missed(self):
        found = propose([(squares(1) * 3, [3.0, 2.0, 1.0])], post_nms_top_n=1)
        assert not found.hit_post_nms


def test_images_do_not_mix():
    images = ImageBatch(torch.zeros(2, 3, 64, 64), ((64, 64), (30, 64)), ((64, 64), (30, 64)), ((0, 0), (0, 0)))
    anchors = torch.tensor([*squares(2), [0.0, 40, 8, 48]])
    logits = torch.tensor([[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]])
    first, second = RPN(4).propose(Dense([], [logits], [torch.zeros(2, 3, 4)]), [anchors], images, ProposalRules())
    assert first.objectness_logits.tolist() == [3, 2, 1]
    assert second.objectness_logits.tolist() == [6, 5]  # the third anchor lies below the second image


def test_no_proposal_is_left():
    found = propose([([[200.0, 200, 210, 210]], [3.0])])
    assert found.boxes.shape == (0, 4)
    assert found.objectness_logits.shape == (0,)
    assert not found.hit_post_nms
