"""What a file is by its first bytes: one of the formats that are read, or another, with what to do about it."""

READ = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "PPM", "TGA", "JPEG2000", "AVIF")
"""Names of Pillow. Nothing else is ever opened: some of its readers start other programs (EPS: Ghostscript)."""
START_BYTES = 512
"""How much of a file `recognise` looks at."""

CAMERA_RAW = "a camera raw file; develop it to TIFF or JPEG"
_EXPORT = "export it as TIFF or PNG"
_VIDEO = "a video; `infer` and `maskrcnn.track` take it by its own name, other commands need images out of it"
_CZI = "a Zeiss CZI file; export it as OME-TIFF with ZEN, Fiji or bioio"
_ND2 = "a Nikon ND2 file; export it as TIFF with NIS-Elements, Fiji or the package nd2"
_LIF = "a Leica LIF file; export it as TIFF with LAS X, Fiji or the package readlif"
_ZARR = "an OME-Zarr folder; export it as OME-TIFF with QuPath, Fiji or raw2ometiff"
_OLE = f"an OLE file, such as Olympus OIB; {_EXPORT} with its program or Fiji"
_HEIC = "a HEIC image, as phones take them; convert it to JPEG or PNG"
_JXL = "a JPEG XL image; convert it to PNG"
_DICOM = f"a DICOM file; {_EXPORT}"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0\x10\0\0\0CR", CAMERA_RAW),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((start, "GIF") for start in (b"GIF87a", b"GIF89a")),
    (b"BM", "BMP"),
    (b"\x28\0\0\0", "DIB"),
    *((b"P" + digit, "PPM") for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")),
    *((start, "JPEG2000") for start in (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    *((start, _JXL) for start in (b"\0\0\0\x0cJXL ", b"\xff\x0a")),
    *((start, CAMERA_RAW) for start in (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")),
    *((start, CAMERA_RAW) for start in (b"FUJIFILMCCD-RAW", b"FOVb")),
    (b"II\x1a\0\0\0HEAPCCDR", CAMERA_RAW),
    (b"ZISRAWFILE", _CZI),
    (b"\xda\xce\xbe\x0a", _ND2),
    (b"\x70\0\0\0", _LIF),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file; {_EXPORT}"),
    (b"\xd0\xcf\x11\xe0", _OLE),
    (b"8BPS", f"a Photoshop file; {_EXPORT}"),
    *((start, f"PostScript, which is never run; {_EXPORT}") for start in (b"%!", b"\xc5\xd0\xd3\xc6", b"\x04%!")),
    (b"%PDF", f"a PDF; {_EXPORT}, one file for each page"),
    (b"version https://git-lfs", "a git-lfs pointer and not the image; run `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "compressed with gzip; unpack it"),
    (b"\x93NUMPY", "a NumPy array; load it with numpy.load and pass the array"),
    (b"SIMPLE  =", f"a FITS file; {_EXPORT}"),
    (b"v/1\x01", f"an OpenEXR image; {_EXPORT}"),
    (b"#?RADIANCE", f"a Radiance HDR image; {_EXPORT}"),
    (b"gimp xcf", f"a GIMP file; {_EXPORT}"),
    *((start, _VIDEO) for start in (b"\x1aE\xdf\xa3", b"\0\0\1\xba")),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        _HEIC,
    ),
    b"crx ": CAMERA_RAW,
}
_RAW_EXTENSIONS = frozenset(
    {".3fr", ".arw", ".dcr", ".dng", ".erf", ".iiq", ".kdc"} | {".nef", ".nrw", ".pef", ".raw", ".sr2", ".srw"}
)
UNREAD_EXTENSIONS = {
    **{".czi": _CZI, ".nd2": _ND2, ".lif": _LIF, ".oib": _OLE, ".heic": _HEIC, ".heif": _HEIC, ".jxl": _JXL},
    ".zarr": _ZARR,
    **dict.fromkeys((".oir", ".vsi", ".mrxs", ".ims"), f"a file of a microscope; {_EXPORT} with its program or Fiji"),
    **dict.fromkeys((".dcm", ".dicom"), _DICOM),
    **dict.fromkeys((*sorted(_RAW_EXTENSIONS - {".raw"}), ".cr2", ".cr3", ".orf", ".raf", ".rw2"), CAMERA_RAW),
    **dict.fromkeys((".psd", ".exr", ".fits", ".xcf", ".eps", ".svg"), f"an image of another program; {_EXPORT}"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), _VIDEO),
}
"""Of images that are not read, by what their files are called; what each is, and what to do."""


def recognise(start: bytes, extension: str) -> tuple[str | None, str]:
    """The format, one of `READ`, or None; then what else it is, with what to do, where that is known, or "".

    Args:
        start: the first `START_BYTES` of the file.
        extension: such as ".tif", for TGA, which has no mark, and camera raw files, which call themselves TIFF.
    """
    name = next((name for mark, name in _SIGNATURES if start.startswith(mark)), "")
    if start.startswith(b"RIFF"):
        name = "WEBP" if start[8:12] == b"WEBP" else _VIDEO
    elif start[4:8] == b"ftyp":
        name = _box_brand(start)
    elif start[128:132] == b"DICM":
        name = _DICOM
    elif start.startswith(b"PK") and start[30:].startswith(b"[Content_Types].xml"):
        name = "a document of Word, Excel or PowerPoint; save the images in it as files"
    elif start[8:10] == b'{"' or (start.startswith(b"PK") and b"/data.pkl" in start):
        name = "the weights of a model"
    elif name == "TIFF" and extension.lower() in _RAW_EXTENSIONS:
        name = CAMERA_RAW
    elif not name and extension.lower() == ".tga":
        name = "TGA"
    if name in READ:
        return name, ""
    return None, name or _text(start)


def _box_brand(start: bytes) -> str:
    """By the brands of an ISO media file: the major one, then those it is compatible with."""
    brands = [start[8:12], *(start[at : at + 4] for at in range(16, min(int.from_bytes(start[:4], "big"), 128), 4))]
    is_avif = any(_BRANDS.get(brand) == "AVIF" for brand in brands)  # its major brand may be mif1
    known = "AVIF" if is_avif else next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    return known or _VIDEO


def _text(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return "a web page, perhaps an error or login page saved in place of the image; download it again"
    if text.startswith((b"<svg", b"<?xml")):
        return f"{'an SVG drawing' if b'<svg' in text else 'XML'}; {_EXPORT}"
    return "JSON" if text.startswith((b'{"', b"[{", b"{\n", b"{\r\n")) else ""
