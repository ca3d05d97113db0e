"""Where the weights are that a name stands for."""

from pathlib import Path

import maskrcnn

DEFAULT_WEIGHTS = "nuclei"


def weights_path(name: str | Path | None = None) -> Path:
    """File of `name`: a shipped name, a path, or None for the default.

    Raises:
        FileNotFoundError: neither a shipped name nor a file; lists the names.
    """
    shipped = shipped_weights()
    name = str(name) if name is not None else DEFAULT_WEIGHTS
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name)
    if Path(name).is_dir():
        inside = sorted(path.name for path in Path(name).glob("*.safetensors"))
        raise FileNotFoundError(
            f"expected a weights file, got the folder {name}; files in it: {', '.join(inside) or 'none'}"
        )
    raise FileNotFoundError(f"no weights named {name!r} and no such file; shipped: {', '.join(shipped) or 'none'}")


def shipped_weights() -> dict[str, Path]:
    """Weights that come with the package, by name."""
    package = Path(maskrcnn.__file__).parent
    # In a wheel they lie inside the package, in a checkout beside it.
    for folder in (package / "weights", package.parent / "weights"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    return {}
