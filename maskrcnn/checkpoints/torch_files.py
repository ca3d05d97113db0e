"""Files of `torch.save`, zip archives and older ones, read here: torch's own reader believes what they claim.

Source: the formats that `torch.save` writes. Nothing of torch's settings is changed.
"""

import io
import mmap
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from maskrcnn.checkpoints.stand_ins import Storage, StorageType, UnreadableError, whole_number
from maskrcnn.checkpoints.unpickling import TORCH_NAMES, Unpickler, check_names
from maskrcnn.untrusted.excerpt import excerpt

LEGACY_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""A number near the start of torch files from before 1.6, which are several pickles and then the values."""
MAX_MEMBERS_BYTES = 16 << 20
"""Of a zip archive's table of its members: 100 thousand, each of which becomes some 600 bytes."""
MAX_PICKLE_BYTES = 64 << 20
_END, _END_64, _LOCATOR_64, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\3\4"


def load_torch(path: Path) -> Any:
    """Content of a torch file; tensors as `TorchTensor` and numpy's arrays as `NumpyArray`, whose values stay on the
    disk until they are read.

    Raises:
        UnreadableError: it asks for a name that is not known, is another kind of zip archive, or claims more than it
            holds. Damage raises anything.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        is_zip = file.read(4) == _LOCAL
    # A private mapping: writing into a tensor of it changes no file.
    values: Any = torch.UntypedStorage.from_file(str(path), False, num_bytes)
    if is_zip:
        return _load_zip(path, values)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _load_legacy(data, values)


def _load_zip(path: Path, values: torch.UntypedStorage) -> Any:
    with path.open("rb") as file:
        _check_end(file, values.nbytes())
        archive = zipfile.ZipFile(file)
        places = _places(archive, file, values.nbytes())
        contents = [name for name in places if name.endswith("/data.pkl")]
        if any(name.endswith("/constants.pkl") for name in places):
            raise UnreadableError("is a TorchScript archive, which is a program: expected a state dict")
        if len(contents) != 1:
            few = ", ".join(excerpt(name)[1:-1] for name in list(places)[:3])
            raise UnreadableError(f"is a zip archive without torch's data.pkl: it holds {few or 'nothing'}")
        folder = contents[0].removesuffix("data.pkl")
        if archive.getinfo(contents[0]).file_size > MAX_PICKLE_BYTES:
            raise UnreadableError(
                f"has a data.pkl of more than {MAX_PICKLE_BYTES >> 20} MB, far above what weights need"
            )
        order = f"{folder}byteorder"
        if order in places and archive.getinfo(order).file_size < 100 and archive.read(order) != b"little":
            raise UnreadableError("was written on a big-endian machine, whose order of bytes is not read")
        data = archive.read(contents[0])  # its checksum is compared
    storages: dict[str, Storage] = {}

    def storage_of(pid: object) -> Storage:
        dtype, key, num_values = _parts(pid)
        if key not in storages:
            start, size = places.get(f"{folder}data/{key}", (0, -1))
            if size < num_values * dtype.itemsize:
                got = "no such entry" if size < 0 else f"{size} bytes"
                raise UnreadableError(f"claims {num_values} values in {excerpt(key)}, got {got}")
            storages[key] = Storage(dtype, num_values, values[start : start + num_values * dtype.itemsize])
        return _agreeing(storages[key], dtype, num_values, key)

    check_names(io.BytesIO(data), TORCH_NAMES)
    return Unpickler(io.BytesIO(data), TORCH_NAMES, len(data), storage_of).load()


def _check_end(file: Any, num_bytes: int) -> None:
    """Whether the table of the members is small enough to be read: Python's reader makes objects of all of it."""
    file.seek(max(0, num_bytes - (1 << 16) - 22))
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        raise UnreadableError("is a zip archive without an end: the download was cut off")
    size = struct.unpack("<I", tail[end + 12 : end + 16])[0]
    locator = tail.rfind(_LOCATOR_64, 0, end)
    if locator >= 0 and end - locator == 20:
        file.seek(min(struct.unpack("<Q", tail[locator + 8 : locator + 16])[0], num_bytes))
        head = file.read(56)
        size = struct.unpack("<Q", head[40:48])[0] if head.startswith(_END_64) and len(head) == 56 else size
    if size > min(MAX_MEMBERS_BYTES, num_bytes):
        raise UnreadableError(f"is a zip archive that claims a table of {size} bytes, far above what weights need")


def _places(archive: zipfile.ZipFile, file: Any, num_bytes: int) -> dict[str, tuple[int, int]]:
    """First byte and number of bytes of every member, by name."""
    places: dict[str, tuple[int, int]] = {}
    for member in archive.infolist():
        name = member.filename
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            # Torch stores them, and would map the compressed bytes and take them for weights.
            raise UnreadableError("is a torch file that was compressed again: unpack it and zip it without compression")
        if name in places:
            raise UnreadableError(f"is a zip archive with two members named {excerpt(name)}")
        file.seek(member.header_offset)
        head = file.read(30)
        if len(head) < 30 or not head.startswith(_LOCAL):
            raise UnreadableError(f"is a zip archive whose {excerpt(name)} is not where its table says")
        start = member.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
        if start + member.file_size > num_bytes:
            raise UnreadableError(
                f"is a zip archive whose {excerpt(name)} claims {member.file_size} bytes, beyond its end"
            )
        places[name] = start, member.file_size
    return places


def _load_legacy(data: mmap.mmap, values: torch.UntypedStorage) -> Any:
    starts = [0]
    for _ in range(5):  # magic number, protocol, system, content, keys of the storages
        check_names(data, TORCH_NAMES)
        starts.append(data.tell())
    storages: dict[str, Storage] = {}
    views: dict[str, tuple[str, int]] = {}

    def storage_of(pid: object) -> Storage:
        dtype, key, num_values = _parts(pid)
        storage = _agreeing(storages.setdefault(key, Storage(dtype, num_values)), dtype, num_values, key)
        view = pid[5] if isinstance(pid, tuple) and len(pid) == 6 else None
        if view is None:
            return storage
        if not isinstance(view, tuple) or len(view) != 3 or not isinstance(view[0], str):
            raise UnreadableError(f"holds a view {excerpt(view)} of a storage")
        offset, size = whole_number(view[1], "a view from"), whole_number(view[2], "a view of length")
        if offset + size > num_values:
            raise UnreadableError(f"claims a view of {size} values from {offset} on in a storage of {num_values}")
        name = f"{len(key)} {key} {view[0]}"
        views[name] = key, offset
        return storages.setdefault(name, Storage(dtype, size))

    def part(i: int) -> Any:
        data.seek(starts[i])
        return Unpickler(data, TORCH_NAMES, len(data), storage_of).load()

    if not isinstance(part(1), int) or not isinstance(system := part(2), dict):
        raise UnreadableError("does not say how it was written")
    if system.get("little_endian") is False:
        raise UnreadableError("was written on a big-endian machine, whose order of bytes is not read")
    content, keys = part(3), part(4)
    place = starts[5]
    for key in keys if isinstance(keys, list) else ():
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise UnreadableError(f"holds values of a storage {excerpt(key)} that is not used")
        size = storage.num_values * storage.dtype.itemsize
        told = int.from_bytes(data[place : place + 8], "little")
        if told != storage.num_values or place + 8 + size > len(data):
            raise UnreadableError(f"is damaged or truncated: a storage of {storage.num_values} values has fewer")
        whole = torch.empty(0, dtype=torch.uint8).set_(values, place + 8, (size,), (1,))  # type: ignore[call-overload]
        storage.values = whole.clone().untyped_storage()  # a copy begins where its type can be read
        place += 8 + size
    for name, (key, offset) in views.items():
        of, itemsize = storages[key].values, storages[key].dtype.itemsize
        if of is not None:
            storages[name].values = of[offset * itemsize : (offset + storages[name].num_values) * itemsize]
    return content


def _parts(pid: object) -> tuple[torch.dtype, str, int]:
    """Type, key and number of values of the storage that `pid` names."""
    match pid:
        case ("storage", StorageType(dtype=dtype), str(key), str(), num_values, *rest) if len(rest) <= 1:
            return dtype, key, whole_number(num_values, "a storage of length")
    raise UnreadableError(f"names an object that is no storage: {excerpt(pid)}")


def _agreeing(storage: Storage, dtype: torch.dtype, num_values: int, key: str) -> Storage:
    if (storage.dtype, storage.num_values) != (dtype, num_values):
        raise UnreadableError(f"claims the storage {excerpt(key)} in two lengths or types")
    return storage
