"""Pictures: objects are marked where they are and nowhere else, at every size, and nothing at all changes nothing."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskrcnn.report import labels, text
from maskrcnn.report.draw import draw, draw_mask, figure, figure_scale
from maskrcnn.report.measure import measure
from maskrcnn.report.palette import palette_for, spread_colors
from maskrcnn.structures.instances import Instances


def _instances(
    boxes: Sequence[Sequence[float]], image_size: tuple[int, int] = (100, 120), **changes: object
) -> Instances:
    n = len(boxes)
    values = {
        "image_size": image_size,
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.zeros(n, dtype=torch.int64),
        "scores": torch.full((n,), 0.9),
        "mask_probs": torch.ones(n, 8, 8),
        "class_names": ("nut", "bolt"),
        **changes,
    }
    return Instances(**values)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60, (100, 120, 3), dtype=np.uint8)


def test_nothing_changes_nothing(image: np.ndarray) -> None:
    drawn = draw(image, _instances([]), legend=False)
    assert np.array_equal(drawn, image)
    assert drawn is not image
    assert not np.array_equal(draw(image, _instances([])), image), "the legend says that there are 0 objects"


def test_only_the_window_of_an_object_changes(image: np.ndarray) -> None:
    before = image.copy()
    drawn = draw(image, _instances([[30, 40, 60, 80]]), legend=False, labels="none")
    assert np.array_equal(image, before), "the image given was written to"
    changed = (drawn != image).any(axis=2)
    assert changed[40:80, 30:60].all()
    changed[38:82, 28:62] = False  # a contour is at most 2 pixels outside
    assert not changed.any()


def test_a_hole_stays_clear(image: np.ndarray) -> None:
    ring = torch.ones(1, 8, 8)
    ring[:, 2:6, 2:6] = 0
    drawn = draw(image, _instances([[10, 10, 90, 90]], mask_probs=ring), legend=False, labels="none")
    assert np.array_equal(drawn[45:55, 45:55], image[45:55, 45:55])


def test_objects_at_the_border_and_without_pixels(image: np.ndarray) -> None:
    boxes = [[-20.0, -20.0, 15.0, 15.0], [100.0, 80.0, 140.0, 130.0], [50.0, 50.0, 50.0, 50.0]]
    drawn = draw(image, _instances(boxes), labels="all")
    assert drawn.shape == image.shape
    assert not np.array_equal(drawn, image)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (30, 20)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    instances = _instances([[0, 0, size[1], size[0]]], size)
    assert draw(picture, instances, labels="all").shape == picture.shape
    page = figure(picture, instances)
    assert page.shape[0] > size[0] * figure_scale(size)


def test_labels_need_room(image: np.ndarray) -> None:
    large, small = _instances([[10, 30, 110, 95]]), _instances([[10, 30, 25, 45]])

    def writes(instances: Instances) -> bool:
        labelled, plain = (draw(image, instances, legend=False, labels=mode) for mode in ("auto", "none"))
        return not np.array_equal(labelled, plain)

    assert writes(large)
    assert not writes(small)
    assert not np.array_equal(
        draw(image, small, legend=False, labels="all"), draw(image, small, legend=False, labels="none")
    )


def test_hundreds_of_small_objects_are_not_buried() -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    boxes = [[x, y, x + 18.0, y + 18.0] for x in range(0, 600, 20) for y in range(0, 600, 20)]
    instances = _instances(boxes, (600, 600))
    assert np.array_equal(draw(picture, instances), draw(picture, instances, labels="none"))


def _written(picture: np.ndarray, instances: Instances, mode: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that are drawn."""
    words: list[str] = []
    mask = labels.text_mask

    def noted(text: str, size_px: int) -> np.ndarray:
        letters = mask(text, size_px).view(Lettered)
        letters.text = text
        return letters

    def stamped(canvas: np.ndarray, letters: Lettered, *_: object) -> None:
        words.append(letters.text)

    with monkeypatch.context() as patch:
        patch.setattr(labels, "text_mask", noted)
        patch.setattr(labels, "stamp", stamped)
        draw(picture, instances, legend=False, labels=mode)  # pyright: ignore[reportArgumentType]
    return words


class Lettered(np.ndarray):
    text: str


def test_numbers_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    boxes = [[x, y, x + 45.0, y + 45.0] for x in range(0, 600, 50) for y in range(0, 600, 50)]
    crowd = _instances(boxes, (600, 600), class_names=("nut",))
    numbers = [str(number) for number in measure(crowd)["id"]]
    assert sorted(_written(picture, crowd, "auto", monkeypatch)) == sorted(numbers)  # words have no room
    few = _instances([[20.0, 50, 180, 180], [300, 300, 460, 460]], (600, 600), class_names=("nut",))
    assert _written(picture, few, "auto", monkeypatch) == ["1 nut 0.90", "2 nut 0.90"]
    # A large one among small ones of one class: numbers for all, not words for one.
    mixed = _instances(
        [[20.0, 50, 180, 180], *([x, 400.0, x + 28, 428] for x in range(0, 600, 50))], (600, 600), class_names=("nut",)
    )
    assert sorted(_written(picture, mixed, "auto", monkeypatch)) == sorted(str(n) for n in range(1, 14))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("id", ["1", "2"]),
        ("class", ["nut", "nut"]),
        ("score", ["0.90", "0.90"]),
        ("all", ["1 nut 0.90", "2 nut 0.90"]),
        ("none", []),
    ],
)
def test_what_is_asked_for_is_written(mode: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    tiny = _instances([[20.0, 50, 24, 54], [60, 60, 63, 63]], (100, 100))
    assert _written(picture, tiny, mode, monkeypatch) == expected


def test_other_objects_than_the_large_ones_have_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    boxes = [[20.0, 50, 180, 180], *([x, 400.0, x + 28, 428] for x in range(0, 600, 50))]
    instances = _instances(boxes, (600, 600), class_names=("nut", "fig"))
    words = _written(picture, instances, "auto", monkeypatch)
    assert words == ["1 nut 0.90", *(str(number) for number in range(2, 14))]


def test_legend_takes_the_empty_corner() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    boxes = [[0, 0, 140, 140], [160, 0, 300, 140], [0, 160, 140, 300]]
    with_legend, without = (draw(picture, _instances(boxes, (300, 300)), legend=flag) for flag in (True, False))
    changed = np.argwhere((with_legend != without).any(axis=2))
    assert len(changed)
    assert (changed.min(axis=0) > 150).all(), "the fourth corner, lower right"


def test_class_colors_are_the_same_for_one_class_and_differ_between_classes() -> None:
    picture = np.zeros((100, 120, 3), np.uint8)
    boxes = [[0, 0, 30, 30], [35, 0, 65, 30], [70, 0, 100, 30]]
    instances = _instances(boxes, labels=torch.tensor([0, 0, 1]))
    drawn = draw(picture, instances, legend=False, labels="none", colors="class")
    first, second, third = (drawn[15, x].tolist() for x in (15, 50, 85))
    assert first == second != third


def test_neighbours_get_different_colors() -> None:
    # A grid of touching squares: each has eight neighbours.
    boxes = np.array([[x, y, x + 10.0, y + 10.0] for x in range(0, 100, 10) for y in range(0, 100, 10)])
    palette = palette_for(np.zeros((4, 4, 3), np.uint8))
    chosen = spread_colors(boxes, palette).reshape(10, 10)
    assert (chosen[1:] != chosen[:-1]).all()
    assert (chosen[:, 1:] != chosen[:, :-1]).all()
    assert (chosen[1:, 1:] != chosen[:-1, :-1]).all()
    assert spread_colors(np.zeros((0, 4)), palette).shape == (0,)


def test_lone_objects_share_the_palette_evenly() -> None:
    boxes = np.array([[x, 0, x + 5.0, 5.0] for x in range(0, 2400, 100)])
    palette = palette_for(np.zeros((4, 4, 3), np.uint8))
    assert np.bincount(spread_colors(boxes, palette)).tolist() == [2] * len(palette)


def test_colors_stand_out_from_the_ground() -> None:
    dark, bright = (palette_for(np.full((9, 9, 3), level, np.uint8)).mean(axis=1) for level in (20, 230))
    assert dark.min() >= 120
    assert bright.max() < 120


def test_scale_draws_on_an_enlarged_picture() -> None:
    picture = np.zeros((50, 60, 3), np.uint8)
    instances = _instances([[10, 10, 30, 40]], (50, 60))
    drawn = draw(picture, instances, legend=False, labels="none", scale=4)
    assert drawn.shape == (200, 240, 3)
    assert drawn[50:150, 50:110].any(axis=2).all()
    assert not drawn[:36].any()


def test_figure_adds_a_strip_and_the_limits() -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    plain = figure(picture, _instances([[10, 10, 50, 50]], (256, 256)))
    assert plain.shape[1] == 1024
    assert plain.shape[0] > 1024
    limited = figure(picture, _instances([[10, 10, 50, 50]], (256, 256), ceilings=("More than 100 were there.",)))
    assert limited.shape[0] > plain.shape[0]
    assert np.array_equal(limited[: plain.shape[0]], plain)
    assert [figure_scale((h, h)) for h in (1, 256, 512, 1000, 4000)] == [8, 4, 2, 1, 1]


def test_a_figure_takes_the_memory_of_one_picture() -> None:
    picture = np.zeros((2000, 2000, 3), np.uint8)
    corners = np.random.default_rng(0).integers(0, 1950, (150, 2))
    instances = _instances(np.concatenate([corners, corners + 50], axis=1).tolist(), (2000, 2000))
    tracemalloc.start()
    try:
        figure(picture, instances)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * picture.nbytes, "a second copy, or masks of the size of the image"


@pytest.mark.parametrize("opencv_face", [True, False])
def test_any_class_name_can_be_written(image: np.ndarray, opencv_face: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not opencv_face:
        monkeypatch.setattr(text, "_opencv_face", lambda: None)
    names = ("Zelle é\n\x00", "細胞", "", "a" * 500)
    boxes = [[0, 0, 60, 50], [60, 0, 120, 50], [0, 50, 60, 100], [60, 50, 120, 100]]
    instances = _instances(boxes, labels=torch.arange(4), class_names=names)
    assert draw(image, instances, labels="all").shape == image.shape
    for name in names:
        mask = text.text_mask(name, 20)
        assert mask.shape[0] == text.line_height(20)
        assert mask.any() == bool(name)
        assert not mask[:, -1].any(), "the last letter is cut"


def test_letters_are_whole() -> None:
    # The ink of a line is that of its letters: nothing went to a second line or beyond the mask.
    ink = sum(int(text.text_mask(letter, 24).sum()) for letter in "Mjg|")
    assert abs(int(text.text_mask("Mjg|", 24).sum()) - ink) < 0.05 * ink


def test_wrong_pictures(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected a \(H, W, 3\) uint8 RGB image, got \(100, 120\) uint8"):
        draw(image[..., 0], _instances([]))
    with pytest.raises(ValueError, match=r"expected an image of \(100, 120\).* got \(50, 120\)"):
        draw(image[:50], _instances([]))


def test_all_objects_from_a_size_on_are_labelled() -> None:
    # Small and large ones in turn: more than there is room to label, so only the large ones are.
    picture = np.zeros((800, 800, 3), np.uint8)
    sides = {x: 90.0 if x < 300 else 60.0 for x in range(0, 800, 100)}
    boxes = [[x, y, x + side, y + side] for x, side in sides.items() for y in range(0, 800, 100)]
    instances = _instances(boxes, (800, 800))
    labelled, plain = (draw(picture, instances, legend=False, labels=mode) for mode in ("auto", "none"))
    changed = (labelled != plain).any(axis=2)
    # The others have their number in their middle, and no box around them.
    is_labelled = [bool(changed[int(y0) : int(y1), int(x1) - 1].all()) for _, y0, x1, y1 in boxes]
    assert is_labelled == [x0 < 300 for x0, *_ in boxes]


def test_the_strip_says_which_objects_have_scores() -> None:
    def rule(boxes: list[list[float]], scale: int = 1) -> str:
        on_canvas = np.array(boxes, np.float64).reshape(-1, 4) * scale
        found = _instances(boxes, (800, 800))
        return labels.plan_labels((800, 800), found, on_canvas, 13, "auto").rule(on_canvas / scale)

    large = [[x, y, x + 90.0, y + 90.0] for x in (0, 100, 200) for y in range(0, 800, 100)]
    small = [[x, y, x + 60.0, y + 60.0] for x in (300, 400, 500, 600, 700) for y in range(0, 800, 100)]
    assert rule(large + small) == "scores where there is room: on objects from 90 px"
    assert rule([[0, 0, 45, 45], [50, 50, 55, 55]], scale=2) == "scores where there is room: on objects from 45 px"
    assert rule([[0, 0, 20, 20]]) == "too crowded for scores: numbers only"
    assert rule([[0, 0, 3, 3]]) == "too small or too crowded for labels"
    assert rule([[0, 0, 90, 90]]) == rule([]) == ""
    picture, tiny = np.zeros((800, 800, 3), np.uint8), [[700.0, 700.0, 704.0, 704.0]]
    heights = [figure(picture, _instances(boxes, (800, 800))).shape[0] for boxes in (large[:1], large[:1] + tiny)]
    assert heights[1] > heights[0]  # one line more


def test_a_legend_covers_nothing_where_there_is_room_at_the_border() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    corners = [[0, 0, 90, 90], [210, 0, 300, 90], [0, 210, 90, 300], [210, 210, 300, 300]]
    instances = _instances(corners, (300, 300))
    with_legend, without = (draw(picture, instances, legend=flag, labels="none") for flag in (True, False))
    changed = (with_legend != without).any(axis=2)
    assert changed.any()
    for x0, y0, x1, y1 in corners:
        assert not changed[y0:y1, x0:x1].any()


def test_masks_known_pixel_by_pixel_are_enlarged() -> None:
    boxes = torch.tensor([[2.0, 3, 6, 8]])
    labels, scores, probs = torch.zeros(1, dtype=torch.int64), torch.ones(1), torch.ones(1, 28, 28)
    found = Instances((20, 30), boxes, labels, scores, probs, ("a",))
    image = np.zeros((20, 30, 3), np.uint8)
    joined = replace(found, pixels=found.runs)
    assert np.array_equal(draw(image, joined, scale=2, labels="none"), draw(image, found, scale=2, labels="none"))


def test_masks_known_pixel_by_pixel_are_drawn_enlarged_too():
    found = replace(Instances.empty((40, 60), ("a",)), pixels=Instances.empty((40, 60), ("a",)).runs)
    assert figure(np.zeros((40, 60, 3), np.uint8), found).shape[1] >= 480


def test_a_mask_may_reach_out_of_the_canvas() -> None:
    """Bands of a slide: what each shows is what the whole shows there."""
    yy, xx = np.mgrid[:40, :40]
    disc = (yy - 20) ** 2 + (xx - 20) ** 2 < 300
    whole = np.full((60, 60, 3), 100, np.uint8)
    draw_mask(whole, 10, 10, disc, (255, 0, 0))
    for top, left, bottom, right in ((0, 0, 30, 60), (30, 0, 60, 60), (25, 25, 35, 60), (0, 0, 5, 5)):
        part = np.full((bottom - top, right - left, 3), 100, np.uint8)
        draw_mask(part, 10 - left, 10 - top, disc, (255, 0, 0))
        np.testing.assert_allclose(part.astype(int), whole[top:bottom, left:right], atol=40)
        assert (part != whole[top:bottom, left:right]).any(axis=2).mean() < 0.01
