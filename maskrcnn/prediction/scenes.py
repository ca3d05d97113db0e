"""From what a model with a semantic branch finds to the whole scene."""

from dataclasses import dataclass

from maskrcnn.config import ModelSettings
from maskrcnn.model.semantic_head import MAP
from maskrcnn.report.export.coco_panoptic import category_ids
from maskrcnn.semantic.merging import MergingRules, merge
from maskrcnn.structures.instances import Instances
from maskrcnn.structures.panoptic import Panoptic


@dataclass(frozen=True)
class Scenes:
    """How results become scenes; `scenes_of` makes one."""

    stuff_names: tuple[str, ...]
    rules: MergingRules
    settings: ModelSettings

    def __call__(self, found: Instances) -> Panoptic:
        """The scene of a result, whose segments say which of its objects they are.

        Raises:
            ValueError: a result of a model without a semantic branch, or of tiles.
        """
        if MAP not in found.maps:
            raise ValueError("expected a result with a map of the stuff, as a model with a semantic branch gives it")
        return merge(found, found.maps[MAP].cpu().numpy(), self.stuff_names, self.rules)

    @property
    def category_of(self) -> dict[tuple[bool, int], int]:
        """The data set's category id of each (is it a thing, label)."""
        branch = self.settings.semantic_head
        assert branch is not None
        ids = self.settings.category_ids or None, branch.category_ids or None
        return category_ids(self.settings.class_names, self.stuff_names, *ids)


def scenes_of(settings: ModelSettings) -> Scenes | None:
    """For models of these settings; None where they have no semantic branch."""
    branch = settings.semantic_head
    if branch is None:
        return None
    # An object that scores less than is asked for is not in the result, and so not in the scene.
    min_score = max(branch.min_score, settings.detection.score_threshold)
    rules = MergingRules(min_score, branch.max_overlap, branch.min_stuff_area)
    return Scenes(branch.stuff_names, rules, settings)
