"""Small files that once hung, or took gigabytes: made by hand, since no pickler writes them."""

import zipfile
from pathlib import Path

import pytest

from maskrcnn.checkpoints import unpickling
from tests.checkpoints.test_unpickling import in_zip, refused, repacked

SHARED = b"\x80\x02X\x01\x00\x00\x00x" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
"""A tuple of a tuple ... 60 deep, each with the same one twice: 2^60 values to look at, in 300 bytes."""
SHAPES = {
    "a tuple": SHARED[2:],
    "texts": b"(" + b"X\x01\x00\x00\x00x" + b"J\xff\xff\xff\x7ft",  # multiplied out, 2 GB of x
    "huge numbers": b"(" + b"\x8a\x28" + b"\x7f" * 40 + b"".join([b"q\x00", *[b"h\x00"] * 2000]) + b"t",
    "many axes": b"(" + b"K\x02" * 200 + b"t",
    "below 0": b"(J\xff\xff\xff\xffJ\xfc\xff\xff\xfft",
}


def numpy_state(shape: bytes) -> bytes:
    made = (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
        + shape
        + b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89U\x04abcdtb"
    )
    return b"\x80\x02}X\x01\x00\x00\x00w" + made + b"s."


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_few_whole_numbers(tmp_path: Path, shape: str):
    assert "claims a numpy array of shape" in refused(tmp_path / "a.pkl", numpy_state(SHAPES[shape]))


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x80\x02}" + SHARED[2:] + b"K\x01s.",
        b"\x80\x02}(" + SHARED[2:] + b"K\x01u.",
        b"\x80\x02(" + SHARED[2:] + b"K\x01d.",
        b"\x80\x04\x8f(" + SHARED[2:] + b"\x90.",
        b"\x80\x04(" + SHARED[2:] + b"\x91.",
        b"\x80\x02cbuiltins\nset\n]" + SHARED[2:] + b"a\x85R.",
        b"\x80\x02ccollections\nOrderedDict\n](" + SHARED[2:] + b"K\x01lea\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00a" + SHARED[2:] + b"\x86R.",
        b"\x80\x02cnumpy\ndtype\n" + SHARED[2:] + b"\x85R.",
        SHARED + b"Q.",
        b"\x80\x02cnumpy\ndtype\n" + SHARED[2:] + b"R.",
        SHARED + b")R.",
        SHARED + b".",
    ],
)
def test_nested_tuples_are_neither_hashed_nor_shown(tmp_path: Path, opcodes: bytes):
    sentence = refused(tmp_path / "a.pkl", opcodes)
    assert len(sentence) < len(str(tmp_path)) + 500
    written = in_zip({})
    (tmp_path / "a.pth").write_bytes(repacked(written, zipfile.ZIP_STORED, lambda _: opcodes))
    refused(tmp_path / "a.pth", (tmp_path / "a.pth").read_bytes())


def test_a_text_is_not_encoded_again_and_again(tmp_path: Path):
    text = b"X\x00\x00\x10\x00" + b"x" * (1 << 20) + b"q\x00X\x06\x00\x00\x00latin1\x86q\x01"
    calls = b"c_codecs\nencode\nq\x02" + text + b"R" + b"h\x02h\x01R" * 10_000  # 10 GB
    assert "far more values" in refused(tmp_path / "a.pkl", b"\x80\x02(" + calls + b"l.")


def test_a_pickle_has_only_so_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpickling, "MAX_STEPS", 1000)
    assert "more than 1000 steps" in refused(tmp_path / "a.pkl", b"\x80\x02(" + b"]" * 1000 + b"l.")


def test_a_number_has_only_so_many_digits(tmp_path: Path):
    assert "a number of" in refused(tmp_path / "a.pkl", b"\x80\x02\x8b\x00\x00\x01\x00" + b"\x7f" * (1 << 16) + b".")
