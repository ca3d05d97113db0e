"""Colours tell a photograph from the micrographs that the default model knows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.cli.default_weights import has_other_colours, warn_of_photographs
from maskrcnn.data.sample_picture import draw_sample

SHARED = Path(__file__).parents[3] / "shared" / "data"


def painted(colour: tuple[int, int, int], share: float = 1.0, ground: int = 200) -> np.ndarray:
    image = np.full((100, 100, 3), ground, np.uint8)
    image[: round(100 * share)] = colour
    return image


@pytest.mark.parametrize(
    ("image", "is_other"),
    [
        (painted((120, 60, 170)), False),  # haematoxylin
        (painted((230, 120, 190)), False),  # eosin
        (painted((90, 90, 95)), False),  # grey
        (painted((60, 150, 60)), True),  # a meadow
        (painted((120, 170, 230), 0.15), True),  # some sky
        (painted((120, 170, 230), 0.05), False),
        (painted((0, 255, 0), 0.3, ground=5), False),  # a fluorescent dye on black
        (draw_sample()[0], False),
    ],
)
def test_colours(image: np.ndarray, is_other: bool) -> None:
    assert has_other_colours(image) == is_other


def test_the_warning_names_the_image_and_the_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("beach.jpg", "grey.png", "broken.png")]
    Image.fromarray(painted((60, 150, 60))).save(files[0])
    Image.fromarray(painted((90, 90, 90))).save(files[1])
    files[2].write_bytes(b"no image")
    warn_of_photographs(files[1:])
    assert capsys.readouterr() == ("", "")
    warn_of_photographs(files)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"warning: {files[0]} does not look like the micrographs that the default model was ")
    assert said.err.endswith("for everyday photographs use --weights coco\n")


@pytest.mark.skipif(not (SHARED / "nuclei").is_dir(), reason="needs the nuclei images in ../shared/data")
def test_no_micrograph_of_the_models_own_data_is_taken_for_a_photograph(capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted((SHARED / "nuclei" / "images").iterdir())[::6]:
        warn_of_photographs([file])
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not (SHARED / "photos").is_dir(), reason="needs the photographs in ../shared/data")
def test_nearly_every_photograph_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((SHARED / "photos").glob("*.jpg"))
    for file in files:
        warn_of_photographs([file])
    assert capsys.readouterr().err.count("warning: ") >= len(files) - 1  # one is grey
