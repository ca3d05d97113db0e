"""The picture of a training run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskrcnn.report.curves import _read_curves, _smooth, plot_curves

HEADER = "step,lr,total,rpn_objectness,rpn_box,class,box,mask,seconds,gradient_norm\n"


def write_losses(folder: Path, num_steps: int) -> Path:
    lines = [f"{s},0.01,{5 / s},{1 / s},{1 / s},{1 / s},0.0,{1 / s},0.5,3\n" for s in range(1, num_steps + 1)]
    path = folder / "losses.csv"
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.mark.parametrize("num_steps", [0, 1, 200])
def test_draws_losses_alone_and_with_metrics(tmp_path: Path, num_steps: int) -> None:
    losses = write_losses(tmp_path, num_steps)
    metrics = tmp_path / "metrics.csv"
    picture = tmp_path / "new folder" / "curves.png"
    plot_curves(losses, picture, metrics)  # before the first evaluation there is no such file
    small = Image.open(picture).size
    metrics.write_text("step,box_ap,mask_ap,count_mae\n100,0.2,,12.5\n200,0.3,0.25,7\n")
    plot_curves(losses, picture, metrics)
    large = Image.open(picture).size
    assert large[0] == small[0]
    assert large[1] > small[1]
    assert [path.name for path in picture.parent.iterdir()] == ["curves.png"]  # nothing unfinished is left


def test_reads_files_of_running_and_resumed_trainings(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    # Step 2 was repeated after a resume, 3 has no finite loss, 4 is being written.
    path.write_text("step,lr,total\n1,0.1,5\n2,0.1,nan\n3,0.1,inf\n2,0.1,4\n4,0.")
    steps, totals = _read_curves(path)["total"]
    assert steps.tolist() == [1, 2]
    assert totals.tolist() == [5, 4]


def test_file_without_steps_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="column 'step'"):
        plot_curves(path, tmp_path / "curves.png")


def test_smoothing_keeps_the_mean_of_a_line() -> None:
    values = np.linspace(0, 1, 500)
    smooth = _smooth(values)
    assert smooth.shape == values.shape
    np.testing.assert_allclose(smooth[20:-20], values[20:-20])
    np.testing.assert_allclose(smooth[0], values[:6].mean())  # 500 / 50 / 2 = 5 neighbours, all on one side
