"""Checkpoint files of other packages, told apart by their content and read without running anything in them."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from maskrcnn.checkpoints.source import Source
from maskrcnn.checkpoints.stand_ins import Namespace, NumpyArray, TorchTensor, UnreadableError
from maskrcnn.checkpoints.torch_files import LEGACY_MAGIC, load_torch
from maskrcnn.checkpoints.unpickling import load_pickle
from maskrcnn.untrusted.excerpt import excerpt

CONTAINERS = ("model", "state_dict", "model_state_dict", "model_state", "ema", "model_ema", "ema_state_dict")
"""Keys under which training scripts keep the state dict, the one to take first in front."""
WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every name."""
COUNTERS = ("n_averaged", "steps")
"""What a running average of torch or of mmengine counts beside the entries that it wraps."""
Content = tuple[dict[str, Tensor], dict[str, Any], tuple[str, ...]]
"""Tensors, plain values beside them, and what was chosen among several."""
T = TypeVar("T")
MAX_META_VALUES, MAX_META_DEPTH = 100_000, 20
"""A pickle of a few bytes can hold lists of lists of the same list, endless when copied."""
MAX_INFLATION, MAX_EXTRA_BYTES = 4, 16 << 20
"""A file's values take at most this much more than the file, and this on top: one array may be named again and again,
and those of HDF5 may be compressed, or claimed and never written."""
MAX_TENSORS, MAX_OTHERS = 100_000, 5
MAX_HEADER_BYTES = 10 << 20
"""Of a safetensors file."""
_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3  # HDF5's numbers of its filters

_OTHER_FILES = (
    (rb"version https://git-lfs", "a git-lfs pointer, not the file itself: fetch that with git lfs pull"),
    (rb"\s*(\xef\xbb\xbf)?\s*<", "a web page (HTML or XML), not a checkpoint: the download failed"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a compressed archive: unpack the checkpoint first"),
    (rb"(?s:.{257})ustar", "a tar archive: unpack the checkpoint first"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|II\*\0|MM\0\*|RIFF|BM", "an image, not a checkpoint"),
)
"""How files begin that are often taken for checkpoints."""


def read_source(path: str | Path) -> Source:
    """Read a checkpoint of another package, whatever its name: torch (zip or legacy), pickle, HDF5, safetensors.

    Tensors are on the CPU in the dtype of the file; those of safetensors and of torch's zip archives stay on the disk
    until they are used, so don't overwrite the file in place meanwhile. No code in the file is run and no package of
    its authors is imported: objects that are not tensors or plain values become inert, or make the file refused.
    Wrappers around the state dict and prefixes such as `module.` are taken off. Where there are several state dicts, as
    the weights and their running average, the one under the first of `CONTAINERS` counts, and `choices` say so.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no checkpoint, is damaged, holds no tensors, or asks for code to be run.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no checkpoint file {path}")
    if not path.is_file():
        raise ValueError(f"{path}: {'a folder' if path.is_dir() else 'no regular file'}, expected a checkpoint file")
    with path.open("rb") as file:
        head = file.read(512)
    kind = "file"
    try:
        kind, read = _kind_of(head)
        tensors, meta, choices = read(path)
        if len(tensors) > MAX_TENSORS:
            raise UnreadableError(f"holds more than {MAX_TENSORS} tensors")
        if not tensors:
            raise UnreadableError("holds no tensors")
    except UnreadableError as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # damage, or malice, can make a reader fail in any way
        # Its arguments may be objects of the file, which never end in words.
        told = str(error) if all(isinstance(arg, str | int) for arg in error.args) else ""
        reason = ": ".join([type(error).__name__, *told[:1000].strip().splitlines()[:1]])[:200]
        raise ValueError(f"{path}: a damaged or truncated {kind} ({reason})") from None
    return Source(path, _unwrapped(tensors), meta, choices)


def _kind_of(head: bytes) -> tuple[str, Callable[[Path], Content]]:
    """What a file that begins so is called, and its reader."""
    if not head:
        raise UnreadableError("is empty")
    for pattern, what in _OTHER_FILES:
        if re.match(pattern, head):
            raise UnreadableError(what)
    is_pickle = re.match(rb"\x80[\x02-\x05]", head)
    if head.startswith(b"PK\x03\x04") or (is_pickle and LEGACY_MAGIC in head[:32]):
        return "torch file", lambda path: _named_tensors(load_torch(path), path.stat().st_size)
    if is_pickle:
        return "pickle", lambda path: _named_tensors(load_pickle(path), path.stat().st_size)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "HDF5 file", _read_hdf5
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:  # its own limit to a header
        return "safetensors file", _read_safetensors
    raise UnreadableError(
        "no checkpoint: expected a torch file (.pth, .pt), a pickle (.pkl), HDF5 (.h5) or safetensors, got a file that "
        f"begins with {head[:16]!r}"
    )


def _named_tensors(content: Any, num_bytes: int) -> Content:
    """Tensors of the state dict in a pickle's content, which is emptied, and plain values of what lies beside it."""
    state, beside, place = _find_state(content, 3, {})
    if state is None:
        got = f"a {type(content).__name__}"
        if isinstance(content, dict):
            got += f" of {', '.join(excerpt(key)[:40] for key in list(content)[:5]) or 'nothing'}"
        raise UnreadableError(
            f"holds no named tensors: expected a state dict, alone or under one of {', '.join(CONTAINERS)}, got {got}"
        )
    meta = _plain(beside, [MAX_META_VALUES])
    others = _others(state, beside)
    choices = (f"the weights under {place}, not those under {' or '.join(others)}",) if others else ()
    _check_total(sum(_num_bytes(value) for value in state.values()), num_bytes)
    tensors = {}
    for name in [name for name in state if isinstance(name, str)]:
        tensor = _tensor_of(state.pop(name))  # each array's bytes go when they have been copied
        if tensor is not None:
            tensors[name] = tensor
    return tensors, meta, choices


def _num_bytes(value: object) -> int:
    """That a value of a state dict takes as a tensor of its own."""
    if isinstance(value, NumpyArray):
        return len(value.raw) if isinstance(value.raw, bytes | bytearray | str) else 0
    return value.num_bytes if isinstance(value, TorchTensor) else 0


def _check_total(claimed: int, num_bytes: int) -> None:
    if claimed > MAX_INFLATION * num_bytes + MAX_EXTRA_BYTES:
        raise UnreadableError(f"claims far more values, {claimed} bytes, than a file of its size can hold")


_Found = tuple[dict[Any, Any] | None, dict[Any, Any], str]


def _find_state(content: Any, depth: int, known: dict[tuple[int, int], _Found]) -> _Found:
    """The dict that holds tensors itself, what lies beside it in all that hold it, and the keys that lead to it.

    What is `known` is not looked for again: a file can hold the same dict in a thousand places.
    """
    if not isinstance(content, dict) or depth == 0:
        return None, {}, ""
    place_of = id(content), depth
    if place_of not in known:
        known[place_of] = None, {}, ""  # while it is looked into: it may hold itself
        known[place_of] = _found_in(content, depth, known)
    return known[place_of]


def _found_in(content: dict[Any, Any], depth: int, known: dict[tuple[int, int], _Found]) -> _Found:
    for key in CONTAINERS:
        state, beside, place = _find_state(content.get(key), depth - 1, known)
        if state is not None:
            return state, {**{k: v for k, v in content.items() if k != key}, **beside}, f"{key}.{place}".rstrip(".")
    if any(isinstance(value, TorchTensor | NumpyArray) for value in content.values()):
        return content, {k: v for k, v in content.items() if not isinstance(v, TorchTensor | NumpyArray)}, ""
    return None, {}, ""


def _others(state: Mapping[Any, Any], beside: Mapping[Any, Any]) -> list[str]:
    """Keys beside the state dict under which lies another one of the same network."""
    names, known = set(_unwrapped(state)), {}
    alike: dict[int, bool] = {}
    keys = []
    for key, value in beside.items():
        other = _find_state(value, 3, known)[0]
        if other is not None and id(other) not in alike:
            alike[id(other)] = 2 * len(names & set(_unwrapped(other))) > len(names)
        if other is not None and alike[id(other)] and len(keys) < MAX_OTHERS:
            keys.append(excerpt(key).strip("'"))
    return keys


def _tensor_of(value: object) -> Tensor | None:
    if isinstance(value, TorchTensor):
        return value.real()
    if not isinstance(value, NumpyArray):
        return None
    array = value.real()
    if array.dtype.kind in "SU":  # text
        return None
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))


_LEFT_OUT: Any = object()


def _plain(value: Any, room: list[int], depth: int = 0) -> Any:
    """`value` without what is not a plain Python value; a sequence only as a whole, since positions have a meaning."""
    room[0] -= 1
    if room[0] < 0 or depth > MAX_META_DEPTH:
        return _LEFT_OUT
    if isinstance(value, Namespace):
        value = value.state
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        items = {k: _plain(v, room, depth + 1) for k, v in value.items() if isinstance(k, str | int)}
        return {k: v for k, v in items.items() if v is not _LEFT_OUT}
    if isinstance(value, list | tuple):
        kind = tuple if isinstance(value, tuple) else list
        items = kind(_plain(item, room, depth + 1) for item in value)
        return _LEFT_OUT if any(item is _LEFT_OUT for item in items) else items
    return _LEFT_OUT


def _unwrapped(state: Mapping[Any, T]) -> dict[str, T]:
    """`state` by names without the prefix that all of them have."""
    tensors = {name: value for name, value in state.items() if isinstance(name, str)}
    for wrapper in WRAPPERS * 2:
        wrapped = {name.removeprefix(wrapper): value for name, value in tensors.items() if name.startswith(wrapper)}
        if len(wrapped) + sum(name in COUNTERS for name in tensors) == len(tensors):
            tensors = wrapped or tensors
    return tensors


def _read_safetensors(path: Path) -> Content:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES:
        raise UnreadableError(f"has a header of {length} bytes, far above what weights need")
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        if len(names) > MAX_TENSORS:
            raise UnreadableError(f"holds more than {MAX_TENSORS} tensors")
        return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {}), ()


def _read_hdf5(path: Path) -> Content:
    """Weights of Keras 2 as `layer/weight`, found by walking the file: its attributes differ between versions."""
    try:
        import h5py
    except ImportError:
        raise UnreadableError('is an HDF5 file, which needs h5py: pip install "maskrcnn[h5]"') from None
    datasets: dict[str, Any] = {}

    def keep(place: str, item: Any) -> None:
        if len(datasets) > MAX_TENSORS:
            raise UnreadableError(f"holds more than {MAX_TENSORS} tensors")
        if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "biuf":
            datasets[place] = item

    tensors: dict[str, Tensor] = {}
    with h5py.File(path, "r") as file:
        file.visititems(keep)  # every object in this file once; soft and external links are not followed
        _check_total(sum(dataset.nbytes for dataset in datasets.values()), path.stat().st_size)
        for place, name in _keras_names(datasets):
            dataset = datasets[place]
            if dataset.is_virtual or dataset.external:
                raise UnreadableError(f"keeps {excerpt(name)[1:-1]} in another file")
            if name in tensors:
                raise UnreadableError(f"holds {excerpt(name)[1:-1]} twice")
            if dataset.chunks is not None:
                _check_chunks(dataset, name)
            tensors[name] = torch.from_numpy(np.asarray(dataset[()], dataset.dtype.newbyteorder("=")))
    return tensors, {}, ()


def _check_chunks(dataset: Any, name: str) -> None:
    """Whether the parts of a dataset become as large as they should: HDF5 itself inflates them whatever comes out."""
    size = prod(dataset.chunks) * dataset.dtype.itemsize
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if size > MAX_INFLATION * dataset.nbytes + MAX_EXTRA_BYTES:
        raise UnreadableError(f"keeps {excerpt(name)[1:-1]} in parts of {size} bytes, far more than it has")
    if not set(filters) <= {_DEFLATE, _SHUFFLE, _CHECKSUM} or filters.count(_DEFLATE) > 1:
        raise UnreadableError(f"keeps {excerpt(name)[1:-1]} compressed in another way than once with gzip")
    if _DEFLATE not in filters:
        return
    for i in range(dataset.id.get_num_chunks()):
        place = dataset.id.get_chunk_info(i).chunk_offset
        mask, raw = dataset.id.read_direct_chunk(place)
        if _CHECKSUM in filters and filters.index(_CHECKSUM) > filters.index(_DEFLATE):
            raw = raw[:-4]
        inflater = zlib.decompressobj()
        if not mask and len(inflater.decompress(raw, size + 5)) > size + 4:
            raise UnreadableError(f"keeps {excerpt(name)[1:-1]} in compressed parts that are larger than they claim")


def _keras_names(places: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each place in the file with its `layer/weight`; those of an optimiser left out.

    `conv1/conv1/kernel:0` is conv1/kernel. A group is named for its layer, also where the layer's own name inside got
    a number because the model was built twice in one session (`conv1/conv1_1/kernel:0`). Only in a model within the
    model (`rpn_model/rpn_conv_shared/kernel:0`) the inner names count.
    """
    split = {place: tuple(place.split("/")) for place in places}
    if any(parts[0] == "model_weights" for parts in split.values()):  # of a whole saved model
        split = {place: parts[1:] for place, parts in split.items() if parts[0] == "model_weights"}
    layers: dict[str, set[str]] = {}
    for group, *_, inner, _ in (parts for parts in split.values() if len(parts) > 2):
        layers.setdefault(group, set()).add(inner)
    for place, parts in split.items():
        if len(parts) == 1:
            yield place, place
            continue
        if "vars" in parts[-2:-1]:
            raise UnreadableError("is of Keras 3, which does not name its weights: expected a file of Keras 2")
        layer = parts[0]
        if len(layers.get(layer, ())) > 1:
            numbers = {name[len(name.rstrip("0123456789")) - 1 :] for name in layers[layer]}
            number = numbers.pop() if len(numbers) == 1 else ""
            layer = parts[-2].removesuffix(number) if number.startswith("_") else parts[-2]
        yield place, f"{layer}/{parts[-1].removesuffix(':0')}"
