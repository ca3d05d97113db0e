"""The pictures on the way of a method, as the tutorials show them: grey, mask, edges, clusters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.data.images import read_image
from maskrcnn.prediction.job_names import drawing_names, relative_names
from maskrcnn.prediction.method_predictor import MethodPredictor
from maskrcnn.report.semantic_files import MAP_ENDING, OVERLAY_ENDING, save_semantic
from maskrcnn.report.written import write_drawing


def write_steps(
    predictor: MethodPredictor, files: Sequence[Path], folder: Path, root: Path | None, reading: Mapping[str, Any]
) -> int:
    """Write `<stem>_<number>_<step>.png` of every file, and its class of every pixel; gives how many were written.

    Files are named as the drawings of a job are. `reading` are options of `read_image`.

    Raises:
        FileNotFoundError, ValueError: an image that is not there or cannot be read.
        OSError: `folder` cannot be written.
    """
    names = relative_names(files, root)
    stems = drawing_names(list(names.values()), "" if root is None else root.absolute().name, "")
    num = 0
    for file, name in names.items():
        image = read_image(file, **reading)
        found = predictor.segment(image, with_steps=True)
        for i, (step, pixels) in enumerate(found.steps.items(), start=1):
            rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
            write_drawing(folder / f"{stems[name]}_{i}_{step}.png", rgb)
        save_semantic(folder, stems[name], image, found.semantic)
        num += len(found.steps) + len((MAP_ENDING, OVERLAY_ENDING))
    return num
