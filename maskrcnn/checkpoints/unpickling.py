"""Pickles of strangers, read without running anything of theirs: the few names they may use become inert stand-ins."""

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, ClassVar

import numpy as np
import torch

LEGACY_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""A number near the start of torch files from before 1.6, which are several pickles and then the values."""


class UnreadableError(Exception):
    """Why a file is not read: half a sentence that goes behind its path."""


@dataclass
class NumpyDtype:
    """Stands in for `numpy.dtype`: how one value is written."""

    code: str
    is_aligned: bool = False
    is_copy: bool = True
    order: str = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def real(self) -> np.dtype[Any]:
        """Of numbers or text only: objects could be anything, and records have no place in weights."""
        if not isinstance(self.code, str) or not re.fullmatch(r"[biufcSU]\d{1,4}", self.code):
            raise UnreadableError(f"holds a numpy array of dtype {self.code!r}, where only plain numbers are read")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]  # any other order is an error


@dataclass
class NumpyArray:
    """Stands in for `numpy.ndarray`: its parts, put together and checked by `real`."""

    shape: tuple[int, ...] = ()
    dtype: NumpyDtype = field(default_factory=lambda: NumpyDtype("O8"))
    is_fortran: bool = False
    raw: bytes | str = b""
    axes: tuple[int, ...] | None = None
    """Order of the axes behind a transposed view."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.shape, self.dtype, self.is_fortran, self.raw = state[-4:]  # newer ones have a version in front

    def real(self) -> np.ndarray:
        """A read-only view of the bytes in the file."""
        dtype = self.dtype.real()
        raw = self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw  # Python 2 wrote bytes as text
        if len(raw) != math.prod(self.shape) * dtype.itemsize:
            raise UnreadableError(f"holds a numpy array of shape {self.shape} in {len(raw)} bytes")
        array = np.ndarray(self.shape, dtype, raw, order="F" if self.is_fortran else "C")
        return array if self.axes is None else array.transpose(self.axes)


def _reconstruct(*_: object) -> NumpyArray:
    return NumpyArray()  # its state follows


def _from_buffer(
    raw: bytes, dtype: NumpyDtype, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
) -> NumpyArray:
    if axes is None:
        return NumpyArray(shape, dtype, order == "F", raw)
    return NumpyArray(shape, dtype, False, raw, axes)


def _scalar(dtype: NumpyDtype, raw: bytes | str) -> Any:
    return NumpyArray((), dtype, False, raw).real().item()


def _encode(text: str, codec: str) -> bytes:
    if codec != "latin1":  # the way that pickles of protocol 2 write bytes
        raise UnreadableError(f"encodes text as {codec!r}")
    return text.encode("latin1")


class Namespace:
    """Stands in for `argparse.Namespace`: keeps what it holds."""

    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Ignored:
    """Stands in for an object of no use here: keeps nothing and does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _InertDict:
    """Stands in for a subclass of dict: an ordered one takes both items and attributes from torch's unpickler."""

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict(*args)


def _path(*parts: str) -> str:
    return str(PurePath(*parts))


def _method(*_: object) -> None:
    return None


def _no_bytes() -> bytes:
    return b""


_NUMPY: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": NumpyArray,
    "numpy.dtype": NumpyDtype,
    **{  # numpy 1 and 2
        f"numpy.{core}.{name}": stand_in
        for core in ("core", "_core")
        for name, stand_in in (
            ("multiarray._reconstruct", _reconstruct),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
    "builtins.bytes": _no_bytes,  # the values of an empty array in protocol 2
}
_TORCH_STAND_INS: dict[str, Callable[..., Any]] = {
    **_NUMPY,
    "argparse.Namespace": Namespace,  # arguments of torchvision's reference scripts
    "mmengine.logging.history_buffer.HistoryBuffer": _Ignored,
    "builtins.getattr": _method,  # HistoryBuffer's methods, by name
    "mmengine.config.config.ConfigDict": _InertDict,
    "mmcv.utils.config.ConfigDict": _InertDict,
    "detectron2.config.config.CfgNode": _InertDict,
    "yacs.config.CfgNode": _InertDict,
    **{f"pathlib.{name}": _path for name in ("PosixPath", "WindowsPath", "_local.PosixPath", "_local.WindowsPath")},
}
_TORCH_OWN = re.compile(
    r"torch\._utils\._rebuild_(tensor|tensor_v2|parameter)|torch\.\w+Storage|torch\.(Size|device)"
    r"|torch\.(bfloat16|float\d+\w*|u?int\d+|bool|complex\d+)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.set"
)
"""What torch's unpickler knows and weights need: no bare storages, no sparse or quantised tensors, no subclasses."""
_PICKLE_GLOBALS: dict[str, Callable[..., Any]] = {
    **_NUMPY,
    "_codecs.encode": _encode,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
}


def load_pickle(path: Path) -> Any:
    """Content of a plain pickle, of Python 2 or 3; numpy's arrays as `NumpyArray`.

    Raises:
        UnreadableError: it asks for anything but plain containers and numpy's numbers. Damage raises anything.
    """
    with path.open("rb") as file:
        return _Unpickler(file, encoding="latin1").load()


def load_torch(path: Path) -> Any:
    """Content of a torch file, zip archive or legacy; tensors on the CPU, numpy's arrays as `NumpyArray`.

    Two locks: every name that the pickles ask for must be known here before torch opens the file, and torch resolves
    names with its own short list and our stand-ins only. Tensors of a zip archive stay on the disk until they are read.

    Raises:
        UnreadableError: it asks for any other name, or is another kind of zip archive. Damage raises anything.
    """
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"  # as torch itself decides it
    if is_zip:
        _check_zip(path)
    others = torch.serialization.get_safe_globals()  # allowed in this process, and found before our stand-ins
    torch.serialization.clear_safe_globals()
    try:
        with (
            torch.serialization.safe_globals([(stand_in, name) for name, stand_in in _TORCH_STAND_INS.items()]),
            path.open("rb") as file,
        ):
            if not is_zip:
                for _ in range(5):  # magic number, protocol, system, content, keys of the storages
                    _check_names(_names_in(file))
                file.seek(0)
            # Mapped, a hostile size can reach nothing but the file; elsewhere torch before 2.10 believes it.
            return torch.load(str(path) if is_zip else file, map_location="cpu", weights_only=True, mmap=is_zip)
    finally:
        torch.serialization.add_safe_globals(others)


def _check_zip(path: Path) -> None:
    if path.suffix == ".safetensors":
        raise UnreadableError("is a torch file by its content, but torch goes by this ending: rename it to .pth")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        contents = [member for member in members if member.filename.endswith("/data.pkl")]
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise UnreadableError("is a TorchScript archive, which is a program: expected a state dict")
        if not contents:
            few = ", ".join(member.filename for member in members[:3])
            raise UnreadableError(f"is a zip archive without torch's data.pkl: it holds {few or 'nothing'}")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            # Torch stores them, and would map the compressed bytes and take them for weights.
            raise UnreadableError("is a torch file that was compressed again: unpack it and zip it without compression")
        for member in contents:
            with archive.open(member) as file:
                _check_names(_names_in(io.BufferedReader(file)))  # type: ignore[arg-type]  # it reads like a raw file


def _names_in(file: io.BufferedReader) -> Iterator[str]:
    """Dotted names that the next pickle in `file` asks for; nothing is looked up."""
    for opcode, arg, _ in pickletools.genops(file):
        if opcode.name == "STACK_GLOBAL":  # unknown to torch, which writes protocol 2
            raise UnreadableError("is pickled in protocol 4 or later: expected torch.save with its own pickle_protocol")
        if opcode.name in ("GLOBAL", "INST"):
            yield str(arg).replace(" ", ".").replace("__builtin__.", "builtins.", 1)


def _check_names(names: Iterable[str]) -> None:
    names = list(names)
    refused = next((n for n in names if n not in _TORCH_STAND_INS and not _TORCH_OWN.fullmatch(n)), None)
    if refused:
        raise _refusal(refused, is_model=any(name.startswith("torch.nn.modules.") for name in names))


def _refusal(name: str, is_model: bool = False) -> UnreadableError:
    if is_model or name.startswith("torch.nn.modules."):
        return UnreadableError(
            f"holds a whole pickled model, {name}, whose code was not run: expected a state dict, as from "
            "torch.save(model.state_dict(), path) where the package of the model is installed"
        )
    return UnreadableError(f"asks for {name}, which no state dict needs: it was not run, and the file is refused")


class _Unpickler(pickle._Unpickler):
    """The one in pure Python: its memo is a dict, for which no file can claim gigabytes, and its steps can be held."""

    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[object], None]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}".replace("__builtin__.", "builtins.", 1)
        found = _PICKLE_GLOBALS.get(asked)
        if found is None and asked.startswith(("torch._utils.", "torch.storage.")):
            raise UnreadableError(
                f"holds torch's tensors in a plain pickle, with {asked}, which can run code and was not run: expected "
                "a file of torch.save, or numpy arrays"
            )
        if found is None:
            raise _refusal(asked)
        return found

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, NumpyArray | NumpyDtype):
            target.__setstate__(state)
        elif not isinstance(target, OrderedDict):  # whose attributes are of no use here
            raise UnreadableError(f"sets the state of a {type(target).__name__}")

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:  # the original clears as many bytes as are claimed before it reads them
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
