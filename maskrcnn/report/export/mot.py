"""MOT Challenge: for each sequence gt/gt.txt with a line for each box of each frame, and the names of the classes."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from maskrcnn.report.export.folder import ExportFolder
from maskrcnn.report.export.picture import FoundPicture, stems
from maskrcnn.untrusted.names import printable

KEEPS = {"class", "score", "overlaps"}


@contextmanager
def opened(folder: ExportFolder) -> Iterator[Callable[[FoundPicture], None]]:
    """Gives what writes one picture: a frame of the file it is a page of, or of the folder that it is in.

    Lines are frame, track, left, top, width, height, score, class, visibility; frames, classes and pixels count from 1,
    and the track is -1 where none is known.
    """
    label_of = {name: label for label, name in enumerate(folder.class_names, start=1)}
    lines: dict[str, list[str]] = {}
    frames: Counter[str] = Counter()
    sizes: dict[str, tuple[int, int]] = {}

    def add(picture: FoundPicture) -> None:
        path = PurePosixPath(picture.file_name)
        parent = str(path.parent) if path.parent.name else "sequence"
        name = parent if picture.page is None else stems([(picture.file_name, None)])[0]
        frames[name] += 1
        frame = frames[name] if picture.page is None else picture.page + 1
        sizes.setdefault(name, picture.size)
        of_frame = lines.setdefault(name, [])
        for found in picture.objects:
            x0, y0, x1, y1 = found.box
            track = -1 if found.track is None else found.track
            score = 1.0 if found.score is None else found.score
            box = ",".join(f"{value:.6g}" for value in (x0 + 1, y0 + 1, x1 - x0, y1 - y0))
            of_frame.append(f"{frame},{track},{box},{score:.6g},{label_of[found.class_name]},1\n")
            folder.lost["objects without a track (-1)"] += found.track is None
        folder.lost["masks (only boxes are kept)"] += len(picture.objects)

    yield add
    places = stems([(f"{name}.frames", None) for name in lines])
    for place, (name, of_sequence) in zip(places, lines.items(), strict=True):
        with folder.text(f"{place}/gt/gt.txt") as file:
            file.writelines(of_sequence)
        with folder.text(f"{place}/gt/labels.txt") as file:
            file.writelines(f"{printable(name)}\n" for name in folder.class_names)
        height, width = sizes[name]
        with folder.text(f"{place}/seqinfo.ini") as file:
            file.write(
                f"[Sequence]\nname={printable(name)}\nseqLength={frames[name]}\nimWidth={width}\nimHeight={height}\n"
            )
