"""The losses on val, each process taking its share of the images."""

import numpy as np
import torch

from maskrcnn.data.annotations import Annotations
from maskrcnn.data.transforms import Resize
from maskrcnn.distributed import sum_over_ranks
from maskrcnn.model.mask_rcnn import MaskRCNN
from maskrcnn.prediction.detecting import autocast, share_of_images
from maskrcnn.prediction.execution import Precision


@torch.no_grad()
def validation_losses(model: MaskRCNN, dataset: Annotations, precision: Precision) -> dict[str, float]:
    """The losses over all of val at the size at which the model sees pictures; the same weights give the same numbers.

    The model must be in eval mode, so that batch norms use their running statistics.
    """
    resize, unused = Resize(model.resize.output_size, model.resize.pixels), np.random.default_rng(0)
    names = model.loss_names
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    for index in share_of_images(len(dataset), "val losses"):
        sample = resize(dataset.load(index), unused)
        size = (sample.image.shape[0], sample.image.shape[1])
        pixels = torch.from_numpy(sample.image).permute(2, 0, 1)
        images = model.normalise([pixels], [size], model.device)
        with autocast(model.device, precision):
            losses = model.losses(images, [sample.targets.to(model.device)], [torch.Generator().manual_seed(index)])
        counts = torch.tensor([losses.counts[name] for name in names], dtype=torch.float64)
        sums[0] += torch.stack([losses.means[name] for name in names]).double().cpu() * counts
        sums[1] += counts
    totals, counts = sum_over_ranks(sums.to(model.device).float()).cpu()
    means = (totals / counts.clamp(min=1)).tolist()
    return {"val_loss": sum(means), **{f"val_{name}": mean for name, mean in zip(names, means, strict=True)}}
