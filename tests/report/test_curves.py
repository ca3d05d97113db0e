"""The picture of a training run."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image

from maskrcnn.report.curves import _read_curves, _smooth, draw_curves, plot_curves

HEADER = "step,lr,total,rpn_objectness,rpn_box,class,box,mask,keypoints,seconds\n"


def write_losses(folder: Path, num_steps: int) -> Path:
    lines = [f"{s},0.01,{5 / s},{1 / s},{1 / s},{1 / s},0.0,{1 / s},3,0.5\n" for s in range(1, num_steps + 1)]
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
    assert large[0] == small[0] == 1200
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
    # A short run is smoothed too: 60 steps by 4 to either side, 10 by 1.
    alternating = np.tile([0.0, 1.0], 30)
    assert abs(_smooth(alternating)[10:-10] - 0.5).max() < 0.06
    np.testing.assert_allclose(_smooth(alternating[:10])[1:3], [1 / 3, 2 / 3])


METRICS = (
    "step,box_ap,mask_ap50,count_mae,count_total_relative_error,val_loss,val_class,val_keypoints\n"
    "100,0.2,0.5,12.5,0.25,2,0.7,0.9\n200,0.3,0.6,7,0.1,1,0.6,0.8\n"
)


def panels_of(folder: Path, metrics: str) -> dict[str, list[Axes]]:
    """Panels by title, each with its second scale if it has one."""
    (folder / "metrics.csv").write_text(metrics)
    figure = draw_curves(_read_curves(write_losses(folder, 200)), _read_curves(folder / "metrics.csv"))
    panels: dict[str, list[Axes]] = {}
    for axes in figure.axes:
        name = axes.get_title(loc="left")
        panels.setdefault(name or next(n for n, (first, *_) in panels.items() if _same_place(first, axes)), [])
        panels[name or next(n for n, (first, *_) in panels.items() if _same_place(first, axes))].append(axes)
    return panels


def _same_place(a: Axes, b: Axes) -> bool:
    return a is not b and a.get_subplotspec() == b.get_subplotspec()


def lines_of(axes: Axes) -> dict[str, tuple[str, list[float]]]:
    """Colour and values of each line that has a name."""
    return {
        str(line.get_label()): (to_hex(line.get_color()), np.asarray(line.get_ydata(), float).tolist())
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


def test_each_kind_of_curve_has_its_panel(tmp_path: Path) -> None:
    panels = panels_of(tmp_path, METRICS)
    assert list(panels) == ["losses", "scores", "counts", "rate"]
    names = ["total", "rpn_objectness", "rpn_box", "class", "box", "mask", "keypoints"]
    ((losses,), (scores,)) = panels["losses"], panels["scores"]
    # Of any loss that the files name, train and val stand beside one another.
    assert list(lines_of(losses)) == [
        *("total, train", "total, val", "rpn_objectness, train", "rpn_box, train", "class, train", "class, val"),
        *("box, train", "mask, train", "keypoints, train", "keypoints, val"),
    ]
    assert lines_of(losses)["total, val"][1] == [2, 1]
    assert losses.get_yscale() == "log"
    assert {name: values for name, (_, values) in lines_of(scores).items()} == {
        "box AP": [0.2, 0.3],
        "mask AP50": [0.5, 0.6],
    }
    assert scores.get_ylim() == (0, 1)
    objects, shares = panels["counts"]
    assert lines_of(objects)["count MAE"][1] == [12.5, 7]
    assert lines_of(shares)["count total relative error"][1] == [25, 10]
    rate, seconds = panels["rate"]
    assert lines_of(rate)["learning rate"][1][:2] == [0.01, 0.01]
    assert lines_of(seconds)["seconds a step"][1][:2] == pytest.approx([0.5, 0.5])
    colors = [lines_of(losses)[f"{name}, train"][0] for name in names]
    assert len(set(colors)) == len(names), "each loss has a colour of its own"
    for name in ("total", "class", "keypoints"):
        assert lines_of(losses)[f"{name}, train"][0] == lines_of(losses)[f"{name}, val"][0]


def test_legends_stand_outside_and_name_every_line(tmp_path: Path) -> None:
    panels = panels_of(tmp_path, METRICS)
    figure = panels["losses"][0].get_figure(root=True)
    assert figure is not None
    FigureCanvasAgg(figure).draw()  # lays it out
    for name, sides in panels.items():
        legend = sides[0].get_legend()
        assert legend is not None, name
        assert [text.get_text() for text in legend.get_texts()] == [line for side in sides for line in lines_of(side)]
        box = legend.get_window_extent()
        for side in sides:
            assert box.x0 > side.get_window_extent().x1, f"{name}: the legend covers curves"
        assert box.x1 <= figure.bbox.x1, f"{name}: the legend is cut off"


def test_the_smoothed_line_is_that_of_training(tmp_path: Path) -> None:
    (losses,) = panels_of(tmp_path, METRICS)["losses"]
    np.testing.assert_allclose(lines_of(losses)["mask, train"][1], _smooth(1 / np.arange(1, 201)), rtol=1e-12)


def test_only_panels_with_content(tmp_path: Path) -> None:
    assert list(panels_of(tmp_path, "step,val_loss\n10,2\n")) == ["losses", "rate"]
    assert len(draw_curves({}, {}).axes) == 1, "a run that has done nothing has an empty chart"
    assert draw_curves({}, {}).axes[-1].get_xlabel() == "step"
    assert draw_curves({}, {}, 46.04).axes[-1].get_xlabel() == "step (an epoch is 46)"
