"""A pass of this package, through its public door."""

from typing import Any

from benchmarks.peers import (
    BOX_HEAD,
    DECODE,
    DENSE,
    DRAWING,
    MASK_HEAD,
    MASKS,
    POOLING,
    POST,
    PREPROCESS,
    RLE,
    Found,
    Job,
    Run,
)
from benchmarks.stopwatch import Places, Stopwatch
from benchmarks.weights import SCORE_THRESHOLD
from maskrcnn.data.images import read_image
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.predictor import Predictor
from maskrcnn.report.draw import draw
from maskrcnn.structures.runs import Runs


def build(job: Job) -> Run:
    """A predictor of the job's weights, and its pass."""
    workload = job.workload
    options: dict[str, Any] = {"score": SCORE_THRESHOLD, "max_detections": workload.detections}
    if workload.body:  # the random weights' batch norms have the eps of torchvision's own
        options |= {"preset": "torchvision_own", "resize": min(workload.size)}
    predictor = Predictor(
        job.weights if workload.body else "nuclei",
        device=job.device,
        precision=job.precision,  # pyright: ignore[reportArgumentType]
        batch_size=job.batch,
        **options,
    )
    model, shapes = predictor.model, dict[str, int]()
    places = places_of(model)
    _watch_shapes(model, shapes, job.batch)

    def run(watch: Stopwatch) -> tuple[list[Found], dict[str, int]]:
        shapes.clear()
        with watch.watching(places):
            with watch.part(DECODE):
                pictures = [read_image(job.picture) for _ in range(job.batch)]
            with watch.part(POST):  # what is left of it: proposals, selection
                results = predictor(pictures)
            with watch.part(MASKS):
                rles = [one.rles() for one in results]
            with watch.part(DRAWING):
                for picture, one in zip(pictures, results, strict=True):
                    draw(picture, one)
        found = [Found(one.boxes.numpy(), one.labels.numpy(), codes) for one, codes in zip(results, rles, strict=True)]
        return found, dict(shapes)

    return run


def places_of(model: MaskRCNN) -> Places:
    """Where the parts of a pass run. What is called through its class, as `pooler(...)` is, is exchanged there."""
    return {
        PREPROCESS: [(type(model.resize), "__call__"), (type(model.normalise), "__call__")],
        DENSE: [(model, "dense")],
        POOLING: [(type(model.box_head.pooler), "__call__")],
        BOX_HEAD: [(model.box_head, "forward")],
        MASK_HEAD: [(model.get_submodule("mask_head"), "detect")],
        RLE: [(Runs, "rles")],
    }


def _watch_shapes(model: MaskRCNN, shapes: dict[str, int], batch: int) -> None:
    """Keep in `shapes` what a pass goes through; see `Pass.shapes`."""
    dense = model.dense

    def note_pixels(pixels: Any) -> Any:
        shapes["height"], shapes["width"] = pixels.shape[-2:]
        return dense(pixels)

    def note_rows(name: str) -> Any:
        def note(_: object, inputs: tuple[Any, ...]) -> None:
            shapes[name] = shapes.get(name, 0) + len(inputs[0]) // batch

        return note

    model.dense = note_pixels
    model.box_head.register_forward_pre_hook(note_rows("regions"))
    model.get_submodule("mask_head").register_forward_pre_hook(note_rows("masks"))
