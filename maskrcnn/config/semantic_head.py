"""The branch that names the stuff around the objects, and how both become one scene."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from maskrcnn.config.base import Settings
from maskrcnn.config.bounds import CategoryId, Channels, ClassName, Fraction
from maskrcnn.untrusted.excerpt import excerpt

MAX_LABELS = 255
"""With the one for all things; a label is a byte, and 255 is that of no class."""
LossWeight = Annotated[float, Field(ge=0.001, le=100)]  # arXiv:1901.02446, figure 5, tries 0.25 to 1
StuffArea = Annotated[int, Field(ge=0, le=1_000_000_000)]  # more than any picture has leaves out all stuff


class SemanticHeadSettings(Settings):
    """Panoptic FPN's semantic branch (arXiv:1901.02446) on P2..P5, and the merging of its map with the objects.

    The defaults are detectron2's.
    """

    class_names: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=MAX_LABELS)] = ("things", "stuff")
    """Of its labels: the first, whatever it is called, stands for the pixels of all objects, the others are stuff. A
    training takes them from its data."""
    category_ids: Annotated[tuple[CategoryId, ...], Field(max_length=MAX_LABELS)] = ()
    """The data set's id of each kind of stuff (not of the first name), for exports; behind those of the objects when
    empty."""
    channels: Channels = 128
    """Of its convolutions."""
    norm: Literal["none", "bn", "gn"] = "gn"
    """Norm behind each of them; `gn` in the paper."""
    loss_weight: LossWeight = 0.5
    """Of its loss beside those of the objects."""
    min_score: Fraction = 0.5
    """An object that scores less is not in the scene."""
    max_overlap: Fraction = 0.5
    """Part of an object that better ones may cover; one that is covered more is not in the scene (arXiv:1801.00868)."""
    min_stuff_area: StuffArea = 4096
    """Pixels of the picture below which a kind of stuff is left out of its scene."""

    @model_validator(mode="after")
    def _classes(self) -> "SemanticHeadSettings":
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"class_names must be different names, got {excerpt(self.class_names)}")
        if self.category_ids and len(self.category_ids) != len(self.class_names) - 1:
            raise ValueError(
                f"{len(self.category_ids)} category_ids for {len(self.class_names) - 1} kinds of stuff in class_names"
            )
        return self

    @property
    def stuff_names(self) -> tuple[str, ...]:
        """Those of the kinds of stuff."""
        return self.class_names[1:]
