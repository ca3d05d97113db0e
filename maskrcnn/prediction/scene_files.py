"""The scenes of a job as files: one drawn, one of segment ids, and at the end one JSON of all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn.files import atomic_path
from maskrcnn.prediction.scenes import Scenes
from maskrcnn.report.draw_panoptic import panoptic_figure
from maskrcnn.report.export.coco_panoptic import (
    PANOPTIC_ENDING,
    panoptic_categories,
    read_segments,
    segments_info,
    write_panoptic_png,
)
from maskrcnn.report.written import DRAWING_ENDING, is_ours, json_text, write_drawing
from maskrcnn.structures.instances import Instances
from maskrcnn.untrusted.names import utf8

PANOPTIC = "panoptic.json"
SCENE_ENDING = "_scene.png"
"""How the file name of a drawn scene ends."""


@dataclass(frozen=True)
class SceneFiles:
    """Where the scenes of a job go: beside the place of each drawing, under its name with other endings."""

    scenes: Scenes
    is_drawn: bool

    def paths(self, drawing: Path) -> list[Path]:
        """What is written for the image whose drawing has this place: segment ids, and the scene if it is drawn."""
        stem = drawing.name.removesuffix(DRAWING_ENDING)
        endings = [PANOPTIC_ENDING, SCENE_ENDING] if self.is_drawn else [PANOPTIC_ENDING]
        return [drawing.with_name(f"{stem}{ending}") for ending in endings]

    def are_there(self, drawing: Path) -> bool:
        """Whether they are, as an earlier job wrote them."""
        return all(is_ours(path) for path in self.paths(drawing))

    def write(self, drawing: Path, image: np.ndarray, found: Instances) -> None:
        """The scene of what was found in an image, RGB uint8 (H, W, 3)."""
        scene = self.scenes(found)
        ids, *drawn = self.paths(drawing)
        for path in drawn:
            write_drawing(path, panoptic_figure(image, scene))
        write_panoptic_png(ids, scene, segments_info(scene, self.scenes.category_of))

    def write_json(self, out: Path, info: Mapping[str, Any], done: Iterable[tuple[str, Path, tuple[int, int]]]) -> None:
        """panoptic.json in `out` with that `info`: of every image its name, its drawing, and (height, width)."""
        images, annotations = [], []
        for image_id, (name, drawing, (height, width)) in enumerate(done, start=1):
            ids = self.paths(drawing)[0]
            images.append(json_text({"id": image_id, "file_name": utf8(name), "width": width, "height": height}))
            record = {"image_id": image_id, "file_name": utf8(ids.name), "segments_info": read_segments(ids)}
            annotations.append(json_text(record))
        settings = self.scenes.settings
        categories = panoptic_categories(settings.class_names, self.scenes.stuff_names, self.scenes.category_of)
        with atomic_path(out / PANOPTIC) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
            text.write('{"info":' + json_text(info))
            text.write(f',"images":[{",".join(images)}],"annotations":[{",".join(annotations)}]')
            text.write(f',"categories":{json_text(categories)}}}')
