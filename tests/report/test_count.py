import torch

from maskrcnn.report.count import add_counts, count
from maskrcnn.structures.instances import Instances


def _instances(labels: list[int]) -> Instances:
    n = len(labels)
    return Instances(
        image_size=(8, 8),
        boxes=torch.zeros(n, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.ones(n),
        mask_probs=torch.ones(n, 4, 4),
        class_names=("date", "fig", "hazelnut"),
    )


def test_every_class_is_listed_in_its_order() -> None:
    assert list(count(_instances([2, 0, 2])).items()) == [("date", 1), ("fig", 0), ("hazelnut", 2)]


def test_nothing() -> None:
    assert count(_instances([])) == {"date": 0, "fig": 0, "hazelnut": 0}
    assert count(Instances.empty((8, 8), ())) == {}
    assert add_counts([]) == {}


def test_sums_over_images() -> None:
    assert add_counts([{"fig": 1, "date": 2}, {"nut": 3, "fig": 4}]) == {"fig": 5, "date": 2, "nut": 3}
