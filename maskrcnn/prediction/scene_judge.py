"""The scenes of a data set judged one by one, as its images are predicted: all their maps would fill the memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from maskrcnn.data.annotations import Annotations
from maskrcnn.distributed import gather_to_first
from maskrcnn.evaluation.panoptic_quality import PanopticQuality, Tally, panoptic_quality, tally
from maskrcnn.evaluation.true_scenes import TrueScenes, true_scenes
from maskrcnn.prediction.scenes import Scenes
from maskrcnn.structures.instances import Instances


@dataclass
class SceneJudge:
    """Takes the result of each image; `judge_of` makes one."""

    scenes: Scenes
    truth: TrueScenes
    tallies: list[Tally] = field(default_factory=list)

    def __call__(self, index: int, found: Instances) -> None:
        """Judge what was found in image `index`."""
        true, crowds = self.truth(index)
        self.tallies.append(tally(self.scenes(found), true, crowds))

    def quality(self) -> PanopticQuality | None:
        """Of all images, in the first process; every process must call it."""
        parts = gather_to_first(self.tallies)
        if parts is None:
            return None
        together = [one for part in parts for one in part]
        return panoptic_quality(together, self.truth.thing_names, self.truth.stuff_names)


def judge_of(scenes: Scenes | None, table: Annotations, category_ids: Sequence[int]) -> SceneJudge | None:
    """For a model whose things have these category ids in `table`; None where either knows no stuff."""
    if scenes is None or table.stuff is None:
        return None
    return SceneJudge(scenes, true_scenes(table, category_ids, scenes.settings.class_names, scenes.stuff_names))
