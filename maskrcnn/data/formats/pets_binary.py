"""The Oxford-IIIT Pets with two classes: the border of a pet, which their authors leave open, is taken for the pet."""

from pathlib import Path

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import pets
from maskrcnn.data.formats.class_list import ClassList

LOOKED_FOR = pets.LOOKED_FOR
is_format = pets.is_format


def read(path: Path, images: Path | None) -> dict[str, Annotations]:
    """Background and pet; splits as `pets` has them."""
    return pets.read_trimaps(path, images, ClassList("a trimap", pets.NAMES[:2], {2: 0, 1: 1, 3: 1}))
