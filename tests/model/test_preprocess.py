"""Resizing, normalising and padding: against each family's own rule."""

import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from maskrcnn.model import preprocess
from maskrcnn.model.preprocess import Normalise, Resize
from tests.oracles.resize_order1 import resize_order1

CPU = torch.device("cpu")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


class TestOutputSize:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((480, 640), (800, 1067)),  # 640 * 5 / 3 = 1066.67
            ((640, 480), (1067, 800)),
            ((400, 1000), (533, 1333)),  # the longer side limits: 400 * 1.333 = 533.2
            ((800, 800), (800, 800)),
            ((3000, 2000), (1200, 800)),
        ],
    )
    def test_shortest_edge(self, size: tuple[int, int], expected: tuple[int, int]):
        assert Resize().output_size(size) == expected

    def test_rounding(self):
        # A scale of one half: 101 / 2 = 50.5 and 103 / 2 = 51.5.
        expected = {"half_up": (51, 52), "floor": (50, 51), "half_even": (50, 52)}
        for rounding, size in expected.items():
            assert Resize("scale", scale=0.5, rounding=rounding).output_size((101, 103)) == size

    def test_scale(self):
        assert Resize("scale", scale=1.5).output_size((100, 60)) == (150, 90)
        assert Resize("scale", scale=1.5, longest_edge=120).output_size((100, 60)) == (120, 72)

    def test_upscale_only(self):
        assert Resize(upscale_only=True).output_size((400, 400)) == (800, 800)
        assert Resize(upscale_only=True).output_size((1000, 1100)) == (1000, 1100)
        assert Resize(upscale_only=True).output_size((1000, 2666)) == (500, 1333)

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((480, 640), (768, 1024)),  # 800 / 480 would give 1067
            ((700, 720), (800, 823)),
            ((900, 1000), (900, 1000)),  # never below 1 ...
            ((1500, 3000), (512, 1024)),  # ... unless the side of the square demands it
        ],
    )
    def test_square_as_matterport(self, size: tuple[int, int], expected: tuple[int, int]):
        resize = Resize("square", 800, 1024, upscale_only=True, rounding="half_even")
        assert resize.output_size(size) == expected

    def test_a_side_never_vanishes(self):
        for rounding in ("half_up", "floor", "half_even"):
            assert Resize(rounding=rounding).output_size((1, 5000)) == (1, 1333)

    def test_torchvisions_sizes(self):
        transform = GeneralizedRCNNTransform(80, 133, [0.0] * 3, [1.0] * 3).eval()
        ours = Resize(shortest_edge=80, longest_edge=133, rounding="floor")
        rng = np.random.default_rng(0)
        for height, width in rng.integers(20, 400, (60, 2)).tolist():
            resized, _ = transform.resize(torch.zeros(3, height, width), None)
            assert ours.output_size((height, width)) == tuple(resized.shape[-2:])


class TestPixels:
    def test_torch_is_torchvisions(self):
        image = picture(37, 53)
        transform = GeneralizedRCNNTransform(60, 100, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).eval()
        theirs, _ = transform([torch.from_numpy(image).permute(2, 0, 1) / 255])
        resize = Resize(shortest_edge=60, longest_edge=100, interpolation="torch", rounding="floor")
        ours = Normalise()([resize(image)], [(37, 53)], CPU)
        assert list(ours.sizes) == theirs.image_sizes
        torch.testing.assert_close(ours.pixels, theirs.tensors, rtol=0, atol=1e-4)

    def test_pil_antialiases_and_cv2_does_not(self):
        # Columns alternate between 200 and 0. At a third of the size a bilinear sample falls on a column; an
        # antialiased one weighs five columns by 1 2 3 2 1, so it is 200 * 5 / 9 = 111 or 200 * 4 / 9 = 89.
        stripes = np.zeros((6, 60, 3), np.uint8)
        stripes[:, ::2] = 200
        third = {kind: Resize("scale", scale=1 / 3, interpolation=kind)(stripes)[0, 0, 3:-3] for kind in ("pil", "cv2")}
        assert set(third["pil"].tolist()) == {111, 89}
        assert set(third["cv2"].tolist()) == {0, 200}
        expected = np.asarray(Image.fromarray(stripes).resize((20, 2), Image.Resampling.BILINEAR))
        assert torch.equal(third["pil"], torch.from_numpy(expected[0, 3:-3, 0].astype(np.float32)))

    @pytest.mark.parametrize("scale", [0.6, 1.0, 1.7, 3.0])
    def test_skimages_order_1(self, scale: float):
        image = picture(13, 17) // 2 + 60
        resize = Resize("scale", scale=scale, interpolation="skimage", rounding="half_even")
        fast = resize(image).permute(1, 2, 0).numpy()
        slow = resize_order1(image, resize.output_size((13, 17)))
        assert (fast == np.floor(fast)).all()
        # Where the exact value is a whole number, rounding decides which side of it the truncation sees.
        assert (np.abs(fast - np.floor(slow)) > np.where(np.abs(slow - slow.round()) < 1e-6, 1, 0)).sum() == 0
        if scale > 1:
            assert fast[0].mean() < fast[1].mean() - 5  # 0 outside is blended in ...
            assert fast.min() >= image.min()  # ... within the picture's own range

    @pytest.mark.parametrize("kind", ["pil", "cv2", "torch", "skimage"])
    def test_the_same_size_changes_nothing(self, kind):
        image = picture(9, 11)
        resized = Resize("scale", scale=1.0, interpolation=kind)(image)
        assert resized.dtype == torch.float32
        assert torch.equal(resized, torch.from_numpy(image).permute(2, 0, 1).float())

    @pytest.mark.parametrize("kind", ["pil", "cv2", "torch", "skimage"])
    def test_reads_strided_and_read_only_arrays(self, kind):
        image = picture(9, 22)[:, ::-2]
        image.flags.writeable = False
        expected = Resize("scale", scale=2.0, interpolation=kind)(image.copy())
        assert torch.equal(Resize("scale", scale=2.0, interpolation=kind)(image), expected)

    def test_the_result_is_no_view_of_the_picture(self):
        image = picture(9, 11)
        before = image.copy()
        Resize("scale", scale=1.0)(image).zero_()
        assert (image == before).all()


class TestNormalise:
    def test_on_paper(self):
        normalise = Normalise("bgr", (10.0, 20.0, 30.0), (1.0, 2.0, 4.0), pad_divisor=4)
        image = torch.tensor([110.0, 120.0, 130.0]).view(3, 1, 1).expand(3, 2, 3)
        batch = normalise([image], [(7, 9)], CPU)
        assert batch.padded_size == (4, 4)
        assert (batch.sizes, batch.original_sizes, batch.origins) == (((2, 3),), ((7, 9),), ((0, 0),))
        # Blue first: (130 - 10) / 1, (120 - 20) / 2, (110 - 30) / 4; padding is 0 afterwards.
        assert batch.pixels[0, :, 1, 2].tolist() == [120, 50, 20]
        assert not batch.pixels[0, :, 2:].any()
        assert not batch.pixels[0, :, :, 3].any()

    def test_black_padding_is_black_before_the_mean_goes(self):
        normalise = Normalise("rgb", (10.0, 20.0, 30.0), (1.0, 2.0, 4.0), "centre", 8, "black")
        batch = normalise([torch.full((3, 3, 5), 50.0), torch.full((3, 8, 4), 50.0)], [(3, 5), (8, 4)], CPU)
        assert batch.origins == ((2, 1), (0, 2))  # the odd row and column go to the bottom and to the right
        assert batch.pixels[0, :, 0, 0].tolist() == [-10, -10, -7.5]
        assert batch.pixels[0, :, 2, 1].tolist() == [40, 15, 5]
        assert (batch.pixels[0, 0] == 40).sum() == 15
        assert (batch.pixels[1, 0] == 40).sum() == 32

    @pytest.mark.parametrize("divisor", [1, 32, 64])
    def test_the_frame_is_the_smallest_multiple(self, divisor: int):
        sizes = [(33, 20), (10, 65), (64, 64)]
        images = [torch.zeros(3, *size, dtype=torch.uint8) for size in sizes]
        batch = Normalise(pad_divisor=divisor)(images, sizes, CPU)
        assert batch.padded_size == tuple(math.ceil(side / divisor) * divisor for side in (64, 65))
        assert len(batch) == 3

    def test_uint8_is_float(self, device: torch.device):
        image = torch.from_numpy(picture(5, 6)).permute(2, 0, 1)
        ours = [Normalise()([x], [(5, 6)], device).pixels for x in (image, image.float())]
        assert torch.equal(ours[0], ours[1])
        assert ours[0].device.type == device.type


@pytest.mark.parametrize(
    ("rule", "size"),
    [
        (Resize("scale", scale=16.0, longest_edge=1_000_000), (3000, 4000)),
        (Resize(shortest_edge=800, longest_edge=1_000_000), (1, 2000)),
    ],
)
def test_a_picture_never_becomes_an_input_that_fills_the_memory(
    rule: Resize, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "resize", None)  # nothing is made
    monkeypatch.setattr(Image, "fromarray", None)
    height, width = rule.output_size(size)
    image = np.broadcast_to(np.uint8(0), (*size, 3))
    with pytest.raises(ValueError, match=f"{size[1]} x {size[0]} px at {width} x {height}, .*longest_edge"):
        rule(image)


def test_the_limit_of_an_input_follows_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 bytes for each of at most half the memory: 600 bytes have room for one pixel."""
    for memory, limit in ((600.0, 1), (float("inf"), preprocess.MAX_INPUT_PIXELS)):
        monkeypatch.setattr(preprocess, "memory_bytes", lambda memory=memory: memory)
        preprocess.max_input_pixels.cache_clear()
        assert preprocess.max_input_pixels() == limit
    monkeypatch.undo()
    preprocess.max_input_pixels.cache_clear()


def test_a_large_picture_that_fits_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "max_input_pixels", lambda: 100)
    assert Resize("scale", scale=1.0)(np.zeros((10, 10, 3), np.uint8)).shape == (3, 10, 10)
    with pytest.raises(ValueError, match=r"more than the 0\.0001 million"):
        Resize("scale", scale=1.0)(np.zeros((10, 11, 3), np.uint8))
