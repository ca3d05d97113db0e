"""Reading a fixed grid of features from each region of a feature map.

Letters: N images, C channels, R regions, S bins along a side.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from maskrcnn.structures.constants import constant

CELLS_AT_ONCE = 1 << 22  # cells whose numbers and weights are alive together: 50 MB


def roi_align(
    features: Tensor, boxes: Tensor, image_idx: Tensor, stride: float, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """RoIAlign (arXiv:1703.06870, section 3).

    On a GPU this is torchvision's operation. On a CPU that one runs on a single thread, so there each bin is a weighted
    sum over rows of a table of cells: the same samples, tens of times as fast, forwards and backwards.

    Args:
        features: (N, C, h, w); on a CPU best in channels-last order.
        boxes: (R, 4) in px of the network's input.
        image_idx: (R,) integers in 0..N-1.
        stride: px of the network's input per feature cell.
        sampling_ratio: samples along each side of a bin; 0 for as many as the bin has cells.
        aligned: pixel centres at +0.5.

    Returns:
        (R, C, S, S), float32 where gradients are wanted, since they add up in it; else of the type of `features`.
    """
    if features.requires_grad:
        features = features.float()
    if not features.is_cpu:
        import torchvision.ops  # takes longer to import than torch itself

        rois = torch.cat([image_idx[:, None].to(boxes.dtype), boxes], dim=1)
        samples = sampling_ratio if sampling_ratio > 0 else -1
        # In float32, since regions have to be of the type of the map, and half precision would move their edges.
        return torchvision.ops.roi_align(features.float(), rois, size, 1 / stride, samples, aligned).to(features.dtype)
    channels, height, width = features.shape[1:]
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    if len(boxes) == 0:  # still a part of the graph
        return table[:0].reshape(0, channels, size, size)
    scaled = boxes * (1 / stride) - (0.5 if aligned else 0.0)
    low, sides = scaled[:, :2], scaled[:, 2:] - scaled[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    bins = sides / size
    if sampling_ratio > 0:
        counts = room = torch.full_like(bins, sampling_ratio)
    else:
        counts = bins.ceil().clamp(min=0)
        room = 2 ** counts.clamp(min=1).log2().ceil()  # regions are read with those of up to twice as many samples
    pooled = table.new_zeros((len(boxes), size, size, channels))
    for room_x, room_y in room.unique(dim=0).int().tolist():
        members = (room == room.new_tensor([room_x, room_y])).all(dim=1).nonzero().squeeze(1)
        for part in members.split(max(1, CELLS_AT_ONCE // (4 * room_x * room_y * size**2))):
            x_cells, x_weights = _cells_of_bins(low[part, 0], bins[part, 0], counts[part, 0], size, room_x, width)
            y_cells, y_weights = _cells_of_bins(low[part, 1], bins[part, 1], counts[part, 1], size, room_y, height)
            rows = image_idx[part, None, None].int() * height + y_cells  # (R, S, 2 room_y)
            cells = rows[:, :, None, :, None] * width + x_cells[:, None, :, None, :]
            weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
            sums = F.embedding_bag(
                cells.flatten(3).flatten(0, 2),
                table,
                per_sample_weights=weights.flatten(3).flatten(0, 2).to(table.dtype),
                mode="sum",
            )
            pooled.index_copy_(0, part, sums.view(-1, size, size, channels))
    return pooled.permute(0, 3, 1, 2)


def _cells_of_bins(
    low: Tensor, bins: Tensor, counts: Tensor, size: int, room: int, num_cells: int
) -> tuple[Tensor, Tensor]:
    """Cells (R, S, 2 room) that the bins of each region read along one side, int32, and their weights.

    Regions begin at `low` (R,), their bins are `bins` (R,) cells long and have `counts` (R,) samples, up to `room`. A
    sample lies between two cells; more than one cell outside the map it weighs nothing, otherwise the border repeats.
    """
    low, bins, counts = low[:, None, None], bins[:, None, None], counts[:, None, None]
    sample = torch.arange(room, device=low.device)
    share = (sample < counts) / counts.clamp(min=1)
    # The order of operations is torchvision's, so that a sample lies at the same float.
    position = low + torch.arange(size, device=low.device)[:, None] * bins + (sample + 0.5) * bins / counts.clamp(min=1)
    share = share * ((position >= -1) & (position <= num_cells))
    position = position.clamp(0, num_cells - 1)  # (R, S, room)
    before = position.floor().clamp(max=max(num_cells - 2, 0))
    behind = (before + 1).clamp(max=num_cells - 1)
    weights = torch.stack([1 - (position - before), position - before], dim=-1) * share[..., None]
    return torch.stack([before, behind], dim=-1).int().flatten(2), weights.flatten(2)


def crop_and_resize(
    features: Tensor, boxes: Tensor, num_of_image: Sequence[int], extent: tuple[int, int], size: int
) -> Tensor:
    """TensorFlow's `crop_and_resize`: one bilinear sample a bin, the corners of the grid on the corners of the box.

    Args:
        features: (N, C, h, w).
        boxes: (R, 4) on inclusive pixel indices (0..extent-1) of the padded frame, image after image.
        num_of_image: how many of them each of the N images has.
        extent: (height, width) of the padded frame.

    Returns:
        (R, C, S, S), of the type that `roi_align` gives; samples outside the map are 0.
    """
    dtype = torch.float32 if features.requires_grad else features.dtype
    height, width = features.shape[-2:]
    steps = torch.arange(size, dtype=torch.float32, device=boxes.device) / (size - 1)  # (S,)
    scale = constant(((width - 1) / (extent[1] - 1), (height - 1) / (extent[0] - 1)) * 2, boxes.device)
    x0, y0, x1, y1 = (boxes * scale).unbind(1)
    x = x0[:, None] + steps * (x1 - x0)[:, None]  # (R, S)
    y = y0[:, None] + steps * (y1 - y0)[:, None]
    inside_x, inside_y = (x >= 0) & (x <= width - 1), (y >= 0) & (y <= height - 1)
    grid_x = x / max(width - 1, 1) * 2 - 1
    grid_y = y / max(height - 1, 1) * 2 - 1
    crops = []
    for image, (x, y) in enumerate(zip(grid_x.split(num_of_image), grid_y.split(num_of_image), strict=True)):
        # The regions of an image are stacked along the height of one sampling grid, so the map is not repeated.
        gx, gy = x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)
        grid = torch.stack([gx, gy], dim=-1).reshape(1, -1, size, 2)
        sampled = F.grid_sample(features[image : image + 1].float(), grid, padding_mode="border", align_corners=True)
        crops.append(sampled[0].unflatten(1, (len(x), size)).transpose(0, 1))
    return (torch.cat(crops) * (inside_y[:, :, None] & inside_x[:, None, :])[:, None]).to(dtype)
