"""Which format a data set is in, told by what is in its files and folders."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.formats import (
    class_images,
    coco,
    coco_panoptic,
    cvat,
    geojson,
    imagej,
    label_images,
    label_studio,
    labelme,
    object_masks,
    pets,
    pets_binary,
    via,
    voc,
    voc_classes,
    yolo,
)
from maskrcnn.data.formats.finding import load_json
from maskrcnn.data.pages import Planes
from maskrcnn.data.pictures.finding import IMAGE_EXTENSIONS
from maskrcnn.data.pictures.limits import pixels_allowed
from maskrcnn.untrusted.excerpt import excerpt

FORMATS: dict[str, ModuleType] = {
    "coco": coco,
    "via": via,
    "labelme": labelme,
    "yolo": yolo,
    "voc": voc,
    "cvat": cvat,
    "label-studio": label_studio,
    "geojson": geojson,
    "imagej": imagej,
    "label-images": label_images,
    "object-masks": object_masks,
    "coco-panoptic": coco_panoptic,
    "class-images": class_images,
    "voc-classes": voc_classes,
    "pets": pets,
    "pets-binary": pets_binary,
}
GIVES_WAY = {"voc-classes": "voc", "pets-binary": "pets", "label-images": "class-images"}
"""What can be read in two ways is read in the second; the first has to be named."""


def recognise(path: Path) -> str:
    """The name in `FORMATS` of what `path`, a file or a folder, is.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: none of the formats, or several.
    """
    _look_for(path)
    names = [name for name, module in FORMATS.items() if module.is_format(path)]
    names = [name for name in names if GIVES_WAY.get(name) not in names]
    if not names and path.is_file():
        raise ValueError(
            f"{path} is no annotation format that is known here{_what_it_is(path)}; looked for {', '.join(FORMATS)}"
        )
    if not names:
        looked_for = "; ".join(f"{name}: {module.LOOKED_FOR}" for name, module in FORMATS.items())
        raise ValueError(f"{path} is no annotation format that is known here; looked for {looked_for}")
    if len(names) > 1:
        raise ValueError(f"{path} holds annotations in several formats ({', '.join(names)}): say which, or name a file")
    return names[0]


def read_dataset(
    path: Path,
    images: Path | None = None,
    format_name: str | None = None,
    *,
    max_pixels: int | None = None,
    channel: int | str | None = None,
    planes: Planes | None = None,
) -> dict[str, Annotations]:
    """The splits of a data set by name: train, val and test, or as its own lists are called; "all" if it has none.

    `images` is the folder of the pictures where it is not beside the annotations. `format_name`, one of `FORMATS`, is
    for a folder that holds several; by default it is recognised. COCO comes as it is in its files; of all other formats
    only what can be used, and problems that name the rest. `max_pixels` is the limit of every picture and mask, also of
    those that are loaded later; `channel` and `planes` say how these are read, see `maskrcnn.data.pages.Reading`.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: not a known format, or nothing in it can be used.
    """
    if format_name is not None and format_name not in FORMATS:
        raise ValueError(f"expected a format, one of {', '.join(FORMATS)}, got {format_name!r}")
    if images is not None and not images.is_dir():
        raise FileNotFoundError(f"{images}: there is no such folder of images")
    _look_for(path)
    module = FORMATS[format_name or recognise(path)]
    is_masks_alone = module is label_images and path.is_dir() and images is not None
    if not module.is_format(path) and not is_masks_alone:
        raise ValueError(f"{path}: expected {module.LOOKED_FOR}")
    with pixels_allowed(max_pixels):
        splits = module.read(path, images)
    return {
        split: replace(table, max_pixels=max_pixels, channel=channel, planes=planes) for split, table in splits.items()
    }


def _what_it_is(file: Path) -> str:
    """Behind a comma what a file is instead, where that is seen at once."""
    if file.suffix.lower() in IMAGE_EXTENSIONS:
        return ", but an image"
    if file.suffix.lower() not in (".json", ".geojson"):
        return ""
    try:
        content = load_json(file)
    except ValueError as error:
        return f", since it {str(error).removeprefix(f'{file} ')}"
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict) and {"image_id", "category_id"} <= first.keys():
        return ", but a list of detections, which says nothing of the images"
    if isinstance(content, dict):
        return (
            f", but JSON with {', '.join(excerpt(key) for key in list(content)[:5])}"
            if content
            else ", but an empty {}"
        )
    return f", but JSON of {excerpt(content)}"


def _look_for(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder")
