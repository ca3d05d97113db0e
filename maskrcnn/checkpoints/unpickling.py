"""Pickles of strangers, read without running anything of theirs: the few names they may use become inert stand-ins."""

import mmap
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePath
from typing import Any, ClassVar

import torch

from maskrcnn.checkpoints.stand_ins import (
    Ignored,
    Namespace,
    NumpyArray,
    NumpyDtype,
    StorageType,
    UnreadableError,
    rebuilt_parameter,
    rebuilt_tensor,
)
from maskrcnn.untrusted.excerpt import excerpt

MAX_STEPS = 1_000_000
"""Of a pickle: a state dict of 600 tensors has 25 thousand, and each takes up to 250 bytes and 5 microseconds."""
MAX_KEY_NUMBER, MAX_TUPLE_KEYS = 2**60, 1000
"""Keys of dicts and sets are hashed, and other numbers can be chosen to have all the same hash."""
MAX_NUMBER_BYTES = 64


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
        raise UnreadableError(f"encodes text as {excerpt(codec)}")
    return text.encode("latin1")


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    """Stands in for all kinds of dict."""
    made: OrderedDict[Any, Any] = OrderedDict()
    for pair in pairs.items() if isinstance(pairs, Mapping) else pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise UnreadableError(f"makes a dict of {excerpt(pair)}")
        made[_checked_key(pair[0])] = pair[1]
    return made


def _members(items: Any = ()) -> set[Any]:
    """Stands in for set and frozenset."""
    return {_checked_key(item) for item in items}


def _checked_key(key: object) -> Any:
    """`key` if it is hashed in no time: tuples of tuples of the same tuple would take for ever."""
    parts = key if type(key) is tuple and len(key) <= 4 else (key,)
    for part in parts:
        is_plain = part is None or type(part) in (str, bool) or (type(part) is bytes and len(part) <= 1000)
        if not is_plain and not (type(part) is int and abs(part) < MAX_KEY_NUMBER):
            raise UnreadableError(f"uses {excerpt(key)} as the key of a dict or a set")
    return key


def _path(*parts: str) -> str:
    if len(parts) > 100 or not all(type(part) is str and len(part) <= 4096 for part in parts):
        raise UnreadableError(f"holds a path of {excerpt(parts)}")
    return str(PurePath(*parts))


def _whole(values: Any = ()) -> Any:
    return values


def _nothing(*_: object) -> None:
    return None


def _no_bytes() -> bytes:
    return b""


_NUMPY: dict[str, Any] = {
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
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered,
    "builtins.set": _members,
}
PICKLE_NAMES: dict[str, Any] = {**_NUMPY, "builtins.frozenset": _members}
"""What plain pickles may ask for."""
_STORED_TYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
"""No complex and no quantised ones: neither has a place in weights."""
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
TORCH_NAMES: dict[str, Any] = {
    **_NUMPY,
    **{f"torch.{name}Storage": StorageType(dtype) for name, dtype in _STORED_TYPES.items()},
    **{f"torch._utils.{name}": rebuilt_tensor for name in ("_rebuild_tensor", "_rebuild_tensor_v2")},
    "torch._utils._rebuild_parameter": rebuilt_parameter,
    **{f"torch.{name}": f"torch.{name}" for name in _DTYPES},
    "torch.Size": _whole,
    "torch.device": _nothing,
    "collections.Counter": _ordered,
    "argparse.Namespace": Namespace,  # arguments of torchvision's reference scripts
    "mmengine.logging.history_buffer.HistoryBuffer": Ignored,
    "builtins.getattr": _nothing,  # HistoryBuffer's methods, by name
    "mmengine.config.config.ConfigDict": _ordered,
    "mmcv.utils.config.ConfigDict": _ordered,
    "detectron2.config.config.CfgNode": _ordered,
    "yacs.config.CfgNode": _ordered,
    **{f"pathlib.{name}": _path for name in ("PosixPath", "WindowsPath", "_local.PosixPath", "_local.WindowsPath")},
}
"""What the pickles inside torch's files may ask for."""


def load_pickle(path: Path) -> Any:
    """Content of a plain pickle, of Python 2 or 3; numpy's arrays as `NumpyArray`.

    Raises:
        UnreadableError: it asks for anything but plain containers and numpy's numbers, or passes a limit. Damage
            raises anything.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        check_names(data, PICKLE_NAMES, is_torch=False)
        data.seek(0)
        return Unpickler(data, PICKLE_NAMES, len(data)).load()


def check_names(data: Any, known: Collection[str], *, is_torch: bool = True) -> None:
    """Read over the next pickle in `data`, in which nothing is looked up or made.

    Args:
        data: a file that gives no more than it has, however much is asked for.

    Raises:
        UnreadableError: it has too many steps, or asks for a name that is not `known`.
    """
    names = []
    for step, (opcode, arg, _) in enumerate(pickletools.genops(data)):
        if step == MAX_STEPS:
            raise UnreadableError(f"is a pickle of more than {MAX_STEPS} steps, far above what weights need")
        if type(arg) is int and arg.bit_length() > 8 * MAX_NUMBER_BYTES:
            raise UnreadableError(f"holds a number of {arg.bit_length()} bits")
        if opcode.name == "STACK_GLOBAL" and is_torch:  # torch writes protocol 2
            raise UnreadableError("is pickled in protocol 4 or later: expected torch.save with its own pickle_protocol")
        if opcode.name in ("GLOBAL", "INST"):
            names.append(_dotted(*str(arg).split(" ", 1)))
    refused = next((name for name in names if name not in known), None)
    if refused and is_torch:
        raise _refusal(refused, is_model=any(name.startswith("torch.nn.modules.") for name in names))


def _dotted(module: str, name: str = "") -> str:
    return f"{module}.{name}".replace("__builtin__.", "builtins.", 1)


def _refusal(name: str, is_model: bool = False) -> UnreadableError:
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    if is_model or name.startswith("torch.nn.modules."):
        return UnreadableError(
            f"holds a whole pickled model, {shown}, whose code was not run: expected a state dict, as from "
            "torch.save(model.state_dict(), path) where the package of the model is installed"
        )
    return UnreadableError(f"asks for {shown}, which no state dict needs: it was not run, and the file is refused")


class Unpickler(pickle._Unpickler):
    """The one in pure Python: its memo is a dict, for which no file can claim gigabytes, and its steps can be held.

    Args:
        data: as for `check_names`.
        names: what may be asked for, with what stands in for it.
        num_bytes: of the file, a measure of how much its calls may make.
        storage_of: what stands for a storage that the file names.
    """

    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(
        self, data: Any, names: Mapping[str, Any], num_bytes: int, storage_of: Callable[[object], object] | None = None
    ) -> None:
        super().__init__(data, encoding="latin1")
        self._names = names
        self._room = 2 * num_bytes + 1_000_000
        self._room_for_tuples = MAX_TUPLE_KEYS
        self._storage_of = storage_of

    def persistent_load(self, pid: object) -> object:
        if self._storage_of is None:
            raise UnreadableError("names an object that lies elsewhere")
        return self._storage_of(pid)

    def find_class(self, module: str, name: str) -> Any:
        asked = _dotted(module, name)
        found = self._names.get(asked)
        if found is None and asked.startswith(("torch._utils.", "torch.storage.")):
            raise UnreadableError(
                f"holds torch's tensors in a plain pickle, with {excerpt(asked)[1:-1]}, which can run code and was not "
                "run: expected a file of torch.save, or numpy arrays"
            )
        if found is None:
            raise _refusal(asked)
        return found

    def _call(self, function: Any, args: object) -> Any:
        """A stand-in for a class or function; a file that calls it with the same long text again and again ends."""
        if not isinstance(args, tuple) or not callable(function):
            raise UnreadableError(f"calls {excerpt(function)} with {excerpt(args)}")
        self._room -= sum(len(arg) if isinstance(arg, Collection) else 1 for arg in args)
        if self._room < 0:
            raise UnreadableError("makes far more values than a file of its size can hold")
        return function(*args)

    def _key(self, key: object) -> Any:
        self._room_for_tuples -= type(key) is tuple
        if self._room_for_tuples < 0:
            raise UnreadableError(f"uses more than {MAX_TUPLE_KEYS} tuples as keys")
        return _checked_key(key)

    def load_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.append(self._call(function, args))

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_reduce

    def load_newobj_ex(self) -> None:
        if self.stack.pop():
            raise UnreadableError("makes an object from named arguments")
        self.load_reduce()

    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex

    def _instantiate(self, klass: Any, args: list[Any]) -> None:
        self.append(self._call(klass, tuple(args)))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, NumpyArray | NumpyDtype | Namespace | Ignored):
            target.__setstate__(state)
        elif not isinstance(target, OrderedDict):  # whose attributes are of no use here
            raise UnreadableError(f"sets the state of a {type(target).__name__}")

    dispatch[pickle.BUILD[0]] = load_build

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    dispatch[pickle.DICT[0]] = load_dict

    def _fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise UnreadableError(f"sets an item of a {type(target).__name__}")
        for i in range(0, len(items), 2):
            target[self._key(items[i])] = items[i + 1]

    def load_additems(self) -> None:
        items, target = self.pop_mark(), self.stack[-1]
        if not isinstance(target, set):
            raise UnreadableError(f"adds to a {type(target).__name__}")
        target.update(self._key(item) for item in items)

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        self.append(frozenset(self._key(item) for item in self.pop_mark()))

    dispatch[pickle.FROZENSET[0]] = load_frozenset

    def load_bytearray8(self) -> None:  # the original clears as many bytes as are claimed before it reads them
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
