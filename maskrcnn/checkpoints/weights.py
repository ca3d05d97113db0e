"""From a name or a file of any known kind to weights that can be used."""

import hashlib
from pathlib import Path

import torch

import maskrcnn
from maskrcnn.checkpoints.checkpoint import Checkpoint, is_own_checkpoint, load_checkpoint
from maskrcnn.checkpoints.download import fetch
from maskrcnn.checkpoints.importing import FINDS_CLASSES, import_checkpoint
from maskrcnn.checkpoints.manifest import find, load_manifest, shipped_sums
from maskrcnn.config import PRESETS
from maskrcnn.model.build import build_model
from maskrcnn.model.state import compare_state
from maskrcnn.untrusted.spelling import did_you_mean

DEFAULT_WEIGHTS = "nuclei"


def load_weights(
    name: str | Path | None = None,
    *,
    preset: str | None = None,
    class_names: tuple[str, ...] | None = None,
    is_partial: bool = False,
) -> Checkpoint:
    """A shipped name, a name of the zoo, a checkpoint of ours or one of another package; None is the default.

    Args:
        preset, class_names, is_partial: for files of other packages; see `import_checkpoint`.

    Raises:
        FileNotFoundError: neither a name nor a file.
        ValueError: no checkpoint of a known kind, a damaged one, or one that leaves no choice of preset.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}{did_you_mean(preset, PRESETS)}; known: {', '.join(PRESETS)}")
    entry = (
        None if name is None or Path(str(name)).is_file() else find(str(name))
    )  # a file may be called as an entry is
    if entry is not None and entry.task == "semantic":  # before it is downloaded
        raise ValueError(f"{name}: {FINDS_CLASSES}")
    path = weights_path(name)
    shipped = DEFAULT_WEIGHTS if name is None else str(name)
    is_shipped = path == shipped_weights().get(shipped) and shipped in shipped_sums()
    # It was written before our files held a checksum of their own.
    if is_shipped and hashlib.sha256(path.read_bytes()).hexdigest() != shipped_sums()[shipped]:
        raise ValueError(f"{path}: damaged: not the file that came with the package; install it again")
    if is_own_checkpoint(path):
        if preset is not None or class_names is not None:
            raise ValueError(f"{path}: carries its own settings and class names; a preset is for other packages' files")
        return load_checkpoint(path)
    imported = import_checkpoint(
        path, preset=preset or (entry.preset if entry else None), class_names=class_names, is_partial=is_partial
    )
    if not is_partial:
        with torch.device("meta"):
            fit = compare_state(build_model(imported.settings), imported.tensors)
        if not fit.is_exact:
            raise ValueError(
                f"{path}: the weights do not fit the model; partial loading takes what does\n{fit.table()}"
            )
    return Checkpoint(imported.settings, imported.tensors, {"imported": imported.sentence}, path=path)


def weights_path(name: str | Path | None = None) -> Path:
    """File of `name`: a shipped name, a path, a name of the zoo (downloaded if need be), or None for the default.

    Raises:
        FileNotFoundError: none of these; lists the names.
        ValueError: a download that failed, or gave another file than the published one.
    """
    shipped = shipped_weights()
    name = str(name) if name is not None else DEFAULT_WEIGHTS
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name)
    entry = find(name)
    if entry is None and Path(name).is_dir():
        inside = sorted(path.name for path in Path(name).glob("*.safetensors"))
        raise FileNotFoundError(
            f"expected a weights file, got the folder {name}; files in it: {', '.join(inside) or 'none'}"
        )
    if entry is not None:
        return fetch(entry)
    names = [*shipped, *load_manifest()]
    raise FileNotFoundError(
        f"no weights named {name!r} and no such file{did_you_mean(name, names)}; "
        f"shipped: {', '.join(shipped) or 'none'}; maskrcnn zoo lists public ones, such as coco"
    )


def shipped_weights() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    package = Path(maskrcnn.__file__).parent
    # In a wheel they lie inside the package, in a checkout beside it.
    for folder in (package / "weights", package.parent / "weights"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    return {}
