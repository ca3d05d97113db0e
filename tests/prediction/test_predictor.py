import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import maskrcnn
from maskrcnn.checkpoints.checkpoint import load_checkpoint
from maskrcnn.checkpoints.weights import shipped_weights
from maskrcnn.model.preprocess import Normalise, Resize
from maskrcnn.prediction.execution import choose_device, choose_precision
from maskrcnn.prediction.predictor import network_batches
from maskrcnn.prediction.tiling import MAX_DETECTIONS, TileSize
from maskrcnn.structures.image_batch import ImageBatch
from maskrcnn.structures.instances import Instances
from tests.conftest import NEEDS_CUDA
from tests.tiny import CLASS_NAMES, scene

PICTURE, _ = scene([("square", 8, 8, 24), ("disc", 36, 30, 24)], (64, 80))
OTHER, _ = scene([("disc", 12, 20, 30)], (64, 80))


@pytest.fixture(scope="module")
def predictor(weights: Path) -> maskrcnn.Predictor:
    return maskrcnn.Predictor(weights, device="cpu")


def assert_same(one: Instances, other: Instances, tolerance: float = 0.0) -> None:
    assert (one.image_size, one.class_names) == (other.image_size, other.class_names)
    assert torch.equal(one.labels, other.labels)
    for name in ("boxes", "scores", "mask_probs"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=tolerance)


def test_every_form_of_a_picture_gives_the_same(predictor: maskrcnn.Predictor, tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    expected = predictor(PICTURE)
    assert len(expected) == 20  # the checkpoint's limit
    assert expected.image_size == (64, 80)
    assert (expected.scores.diff() <= 0).all()
    assert expected.scores.min() > 0.2
    assert set(maskrcnn.count(expected)) == set(CLASS_NAMES)
    assert maskrcnn.draw(PICTURE, expected).shape == PICTURE.shape
    for picture in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(PICTURE), PICTURE[:, ::-1][:, ::-1]):
        assert_same(predictor(picture), expected)


def test_a_list_gives_a_list(weights: Path) -> None:
    alone = [maskrcnn.Predictor(weights, device="cpu")(picture) for picture in (PICTURE, OTHER, PICTURE)]
    predictor = maskrcnn.Predictor(weights, device="cpu", batch_size=2)
    assert predictor([]) == []
    for pictures in ([PICTURE, OTHER, Image.fromarray(PICTURE)], (PICTURE, OTHER, PICTURE)):
        for one, other in zip(predictor(pictures), alone, strict=True):
            assert_same(one, other, tolerance=1e-3)


def test_a_batch_of_several_sizes(weights: Path) -> None:
    pictures = [PICTURE, PICTURE[:32, :40], np.zeros((1, 1, 3), np.uint8)]
    found = maskrcnn.Predictor(weights, device="cpu", batch_size=3)(pictures)
    assert [one.image_size for one in found] == [(64, 80), (32, 40), (1, 1)]
    for one in found:
        height, width = one.image_size
        assert (one.boxes >= 0).all()
        assert (one.boxes <= torch.tensor([width, height, width, height])).all()


def test_neighbours_do_not_change_what_is_found(weights: Path) -> None:
    pictures = [PICTURE, PICTURE[:32, :40], OTHER, PICTURE[:, :48], PICTURE[:32], OTHER[:60, :78]]
    alone = [maskrcnn.Predictor(weights, device="cpu")(picture) for picture in pictures]
    for batch_size in (2, 4, 8):
        found = maskrcnn.Predictor(weights, device="cpu", batch_size=batch_size)(pictures)
        for one, other in zip(found, alone, strict=True):
            assert_same(one, other)


def test_inputs_are_shared_by_images_of_one_padded_size_and_on_a_cpu_by_none(
    predictor: maskrcnn.Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [PICTURE, PICTURE[:32, :40], OTHER, OTHER[:60, :78], PICTURE[:20, :40]]

    def inputs() -> list[tuple[list[int], tuple[int, ...]]]:
        return [(rows, tuple(batch.pixels.shape)) for rows, batch in network_batches(predictor.model, pictures)]

    monkeypatch.setattr(predictor.model, "resize", Resize(mode="scale"))
    assert [rows for rows, _ in inputs()] == [[0], [1], [2], [3], [4]]
    monkeypatch.setattr(type(predictor.model), "device", torch.device("cuda"))
    monkeypatch.setattr(type(predictor.model.normalise), "__call__", normalise_on_the_cpu)
    assert inputs() == [([0, 2, 3], (3, 3, 64, 96)), ([1, 4], (2, 3, 32, 64))]


def normalise_on_the_cpu(
    self: Normalise,
    images: list[torch.Tensor],
    sizes: list[tuple[int, int]],
    device: torch.device,
    call=Normalise.__call__,
) -> ImageBatch:
    assert device == torch.device("cuda")
    return call(self, images, sizes, torch.device("cpu"))


def test_results_take_part_in_autograd(predictor: maskrcnn.Predictor) -> None:
    found = predictor(PICTURE)
    weight = torch.ones((), requires_grad=True)
    (found.boxes * weight).sum().backward()  # an inference tensor could not be saved for this
    assert weight.grad == found.boxes.sum()
    assert not any(tensor.is_inference() for tensor in (found.boxes, found.labels, found.scores, found.mask_probs))


def test_numbers_with_their_range(predictor: maskrcnn.Predictor, tmp_path: Path) -> None:
    expected = predictor(PICTURE)
    for values, value_range in (
        (PICTURE / 255, (0, 1)),
        (PICTURE.astype(np.uint16) * 257, (0, 65535)),
        (torch.from_numpy(PICTURE).permute(2, 0, 1).float() / 255, (0, 1)),
    ):
        assert_same(predictor(values, value_range), expected)
        assert_same(predictor([values], value_range=value_range)[0], expected)
    assert_same(predictor(torch.from_numpy(PICTURE)), expected)
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    assert_same(predictor((tmp_path / "a.png").read_bytes()), expected)


def test_a_predictor_says_what_it_is_in_a_line(predictor: maskrcnn.Predictor) -> None:
    assert re.fullmatch(
        r"Predictor\(maskrcnn R18-FPN, 2 classes; score above 0.2; cpu, 1 thread, fp32.*\)", repr(predictor)
    )


def test_settings_take_the_place_of_the_checkpoints(weights: Path, predictor: maskrcnn.Predictor) -> None:
    scores = predictor(PICTURE).scores
    between = float(scores[4] + scores[5]) / 2
    strict = maskrcnn.Predictor(weights, device="cpu", score=between)
    assert torch.equal(strict(PICTURE).scores, scores[:5])
    assert strict.settings.detection.score_threshold == pytest.approx(between)
    few = maskrcnn.Predictor(weights, device="cpu", max_detections=3)(PICTURE)
    assert torch.equal(few.scores, scores[:3])


def test_nothing_found(weights: Path) -> None:
    nothing = maskrcnn.Predictor(weights, device="cpu", score=0.999)(PICTURE)
    assert (len(nothing), nothing.rles(), nothing.polygons()) == (0, [], [])
    assert maskrcnn.count(nothing) == {"square": 0, "disc": 0}
    assert np.array_equal(maskrcnn.draw(PICTURE, nothing, legend=False), PICTURE)


def test_limits_are_told(weights: Path) -> None:
    one = maskrcnn.Predictor(weights, device="cpu", max_detections=1)(PICTURE)
    assert len(one) == 1
    assert "more than 1 detections, the best 1 kept (detection.max_detections)" in one.ceilings
    assert maskrcnn.Predictor(weights, device="cpu", score=0.999)(PICTURE).ceilings[2:] == ()


@pytest.mark.parametrize(
    ("resize", "seen"), [(None, (64, 80)), (2.0, (128, 160)), (0.5, (32, 40)), (32, (32, 40)), (96, (96, 120))]
)
def test_resize(weights: Path, resize: float | None, seen: tuple[int, int]) -> None:
    predictor = maskrcnn.Predictor(weights, device="cpu", resize=resize)
    assert predictor.model.resize.output_size((64, 80)) == seen
    assert predictor(PICTURE).image_size == (64, 80)


def test_a_picture_that_is_seen_much_smaller_is_told(weights: Path) -> None:
    # 1333 px is the limit of the longer side.
    predictor = maskrcnn.Predictor(weights, device="cpu", score=0.999, tile="off")
    told = [
        any("of its usual size" in ceiling for ceiling in predictor(np.zeros((8, width, 3), np.uint8)).ceilings)
        for width in (1333, 1400, 2666)
    ]
    assert told == [False, False, True]
    assert "the network saw the image at 50% of its usual size (resize.longest_edge 1333)" in (
        predictor(np.zeros((8, 2666, 3), np.uint8)).ceilings
    )


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((20, 20_000, 3), np.uint8),
        np.zeros((20_000, 20, 3), np.uint8),
        PICTURE[..., 0],
        np.dstack([PICTURE, PICTURE[..., :1]]),
        Image.fromarray(PICTURE).convert("LA"),
    ],
    ids=["one pixel", "wide", "high", "grey", "rgba", "grey with alpha"],
)
def test_odd_pictures(predictor: maskrcnn.Predictor, picture: np.ndarray | Image.Image) -> None:
    size = picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size[::-1]
    found = predictor(picture)
    assert found.image_size == size
    assert (found.areas() <= size[0] * size[1]).all()
    assert len(found.rles()) == len(found)


@pytest.mark.parametrize("picture", [None, 5, torch.zeros(3, 8, 8), np.zeros((8, 8, 3)), np.zeros((2, 8, 8, 3), "u1")])
def test_what_is_no_picture(predictor: maskrcnn.Predictor, picture: object) -> None:
    with pytest.raises(ValueError, match="expected an image path, encoded bytes, a PIL image or"):
        predictor(picture)  # type: ignore[call-overload]


def test_a_missing_picture(predictor: maskrcnn.Predictor, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png: there is no such image file"):
        predictor([PICTURE, tmp_path / "gone.png"])


def test_weights_that_cannot_be_used(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="no weights named 'nuclej' and no such file; did you mean nuclei\\?; shipped: "
    ):
        maskrcnn.Predictor("nuclej")
    shutil.copy(weights, tmp_path / "best.safetensors")
    with pytest.raises(FileNotFoundError, match=r"expected a weights file, got the folder .*: best\.safetensors"):
        maskrcnn.Predictor(tmp_path)
    path = tmp_path / "x.safetensors"
    for content in (b"", b"no checkpoint, only text", weights.read_bytes()[:5_000], weights.read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.safetensors"):
            maskrcnn.Predictor(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"x\.safetensors: expected a Mask R-CNN of .* got 1 tensors named a,"):
        maskrcnn.Predictor(path)
    for metadata in ({"maskrcnn": "no JSON"}, {"maskrcnn": "{}"}, {"maskrcnn": '{"settings": 1, "card": 2}'}):
        save_file({"a": torch.zeros(2)}, path, metadata)
        with pytest.raises(ValueError, match=r"x\.safetensors: a safetensors file without maskrcnn's settings"):
            maskrcnn.Predictor(path)
    save_file({"a": torch.zeros(2)}, path, {"maskrcnn": '{"settings": {"fpm": {}}, "card": {}}'})
    with pytest.raises(ValueError, match=r"x\.safetensors: settings: unknown key fpm; did you mean fpn"):
        maskrcnn.Predictor(path)


def test_settings_that_cannot_be(weights: Path) -> None:
    for wrong, sentence in (
        ({"score": 1.5}, "score_threshold"),
        ({"max_detections": 0}, "max_detections"),
        ({"resize": 0}, "resize"),
        ({"resize": -1.0}, "resize"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        (
            {"device": "gpu"},
            "device: expected auto, cpu, cuda, cuda:N, the N of a CUDA device, mps, xpu or xpu:N, got 'gpu'",
        ),
        ({"device": "cuda:x"}, "device: expected auto"),
        ({"device": "cuda:99"}, "device cuda:99: this machine has"),
        ({"precision": "fp8"}, "precision: expected auto, fp32, bf16, fp16, got 'fp8'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            maskrcnn.Predictor(weights, **{"device": "cpu", **wrong})  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_cuda(weights: Path) -> None:
    with pytest.raises(ValueError, match="device cuda: this machine has no CUDA device"):
        maskrcnn.Predictor(weights, device="cuda")
    assert choose_device("auto") == torch.device("cpu")
    assert choose_precision("auto", torch.device("cpu")) == "fp32"


def test_half_precision_on_a_cpu(weights: Path, predictor: maskrcnn.Predictor) -> None:
    expected = predictor(PICTURE)
    for precision in ("bf16", "fp16"):
        found = maskrcnn.Predictor(weights, device="cpu", precision=precision)(PICTURE)
        assert (found.boxes.dtype, found.scores.dtype) == (torch.float32, torch.float32)
        torch.testing.assert_close(found.scores[:5], expected.scores[:5], rtol=0, atol=0.02)


@NEEDS_CUDA
def test_cuda_finds_what_the_cpu_finds(weights: Path, predictor: maskrcnn.Predictor) -> None:
    found = maskrcnn.Predictor(weights, device="cuda", precision="fp32")(PICTURE)
    assert found.boxes.device == torch.device("cpu")
    torch.testing.assert_close(found.scores, predictor(PICTURE).scores, rtol=0, atol=5e-3)


@pytest.mark.skipif("nuclei" not in shipped_weights(), reason="the shipped weights are not in weights/")
def test_the_default_is_the_nuclei_model() -> None:
    predictor = maskrcnn.Predictor(device="cpu")
    assert predictor.description == "maskrcnn R18-FPN, 1 class"
    assert predictor.class_names == ("nucleus",)
    assert predictor.card["licence"]


def test_weights_that_were_never_trained_are_refused_unless_forced(weights: Path) -> None:
    checkpoint = load_checkpoint(weights)
    del checkpoint.tensors["mask_head.logits.weight"]
    untrained, _ = checkpoint.completed()
    with pytest.raises(
        ValueError, match=r"1 of the \d+ tensors were never trained \(mask_head\.logits\.weight, \.\.\.\)"
    ):
        maskrcnn.Predictor(untrained, device="cpu")
    assert maskrcnn.Predictor(untrained, device="cpu", allow_untrained=True).class_names


@pytest.mark.parametrize(
    ("tile", "score", "max_detections", "ceilings", "is_again"),
    [
        ("auto", 0.5, None, ("more than 100 detections",), True),
        ("auto", 0.11, None, ("more than 100 detections",), True),
        ("auto", 0.1, None, ("more than 100 detections",), False),  # so low a score is for AP, not for counts
        ("auto", 0.5, None, (), False),
        ("off", 0.5, None, ("more than 100 detections",), False),
        (500, 0.5, None, ("more than 100 detections",), False),
        ("auto", 0.5, 100, (f"more than 100 {MAX_DETECTIONS}",), False),  # which somebody asked for
        ("auto", 0.5, 100, ("more than 1000 likely proposals",), True),
    ],
)
def test_what_is_done_again_in_tiles(
    tile: TileSize, score: float, max_detections: int | None, ceilings: tuple[str, ...], is_again: bool
) -> None:
    predictor = maskrcnn.Predictor.__new__(maskrcnn.Predictor)
    predictor.tile, predictor.max_detections = tile, max_detections
    predictor.model = SimpleNamespace(  # pyright: ignore[reportAttributeAccessIssue]
        box_head=SimpleNamespace(rules=SimpleNamespace(score_threshold=score))
    )
    found = SimpleNamespace(ceilings=ceilings)
    assert predictor._is_again(found) == is_again  # pyright: ignore[reportArgumentType]


def test_by_default_pictures_are_seen_one_by_one(predictor: maskrcnn.Predictor) -> None:
    assert predictor.batch_size == 1
