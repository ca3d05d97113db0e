"""Reading a fixed grid of features from each region of a feature map.

Letters: N images, C channels, R regions, S bins along a side.
"""

import torch
import torch.nn.functional as F
import torchvision.ops
from torch import Tensor


def roi_align(
    features: Tensor, boxes: Tensor, image_idx: Tensor, stride: float, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """RoIAlign (arXiv:1703.06870, section 3) in float32.

    Where a CPU has to give gradients, a fixed `sampling_ratio` goes through a weighted sum of feature cells:
    torchvision's backward runs on one thread there and took more than half of a training step.

    Args:
        features: (N, C, h, w).
        boxes: (R, 4) in px of the network's input.
        image_idx: (R,) integers in 0..N-1.
        stride: px of the network's input per feature cell.
        sampling_ratio: samples along each side of a bin; 0 for as many as the bin has cells.
        aligned: pixel centres at +0.5.

    Returns:
        (R, C, S, S) float32.
    """
    if features.requires_grad and not features.is_cuda and sampling_ratio > 0:
        return _roi_align_by_cells(features.float(), boxes, image_idx, stride, size, sampling_ratio, aligned)
    rois = torch.cat([image_idx[:, None].to(boxes.dtype), boxes], dim=1)
    return torchvision.ops.roi_align(
        features.float(), rois, size, 1 / stride, sampling_ratio if sampling_ratio > 0 else -1, aligned
    )


def _roi_align_by_cells(
    features: Tensor, boxes: Tensor, image_idx: Tensor, stride: float, size: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """The same numbers as torchvision's operation: every bin is a weighted sum over rows of a table of cells."""
    channels, height, width = features.shape[1:]
    scaled = boxes / stride - (0.5 if aligned else 0.0)
    low, sides = scaled[:, :2], scaled[:, 2:] - scaled[:, :2]
    if not aligned:
        sides = sides.clamp(min=1)
    steps = (torch.arange(size * sampling_ratio, device=boxes.device) + 0.5) / (size * sampling_ratio)
    x_idx, x_weight = _two_cells(low[:, 0, None] + steps * sides[:, 0, None], width)  # (R, S * ratio, 2)
    y_idx, y_weight = _two_cells(low[:, 1, None] + steps * sides[:, 1, None], height)
    x_idx, x_weight, y_idx, y_weight = (
        part.reshape(len(boxes), size, 2 * sampling_ratio) for part in (x_idx, x_weight, y_idx, y_weight)
    )
    row = image_idx[:, None, None, None, None] * height + y_idx[:, :, None, :, None]
    cells = row * width + x_idx[:, None, :, None, :]  # (R, S, S, 2 * ratio, 2 * ratio)
    weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :] / sampling_ratio**2
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    per_bin = (2 * sampling_ratio) ** 2
    bins = F.embedding_bag(
        cells.reshape(-1, per_bin), table, per_sample_weights=weights.reshape(-1, per_bin), mode="sum"
    )
    return bins.view(len(boxes), size, size, channels).permute(0, 3, 1, 2)


def _two_cells(position: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """Cells left and right of each position (R, P) along one side, and their weights; both (R, P, 2).

    A position more than one cell outside the map weighs nothing; otherwise the border is repeated.
    """
    is_inside = (position >= -1) & (position <= num_cells)
    position = position.clamp(0, num_cells - 1)
    left = position.floor().clamp(max=max(num_cells - 2, 0))
    fraction = position - left
    right = (left + 1).clamp(max=num_cells - 1)
    weights = torch.stack([1 - fraction, fraction], dim=-1) * is_inside[..., None]
    return torch.stack([left, right], dim=-1).to(torch.int64), weights


def crop_and_resize(features: Tensor, boxes: Tensor, image_idx: Tensor, extent: tuple[int, int], size: int) -> Tensor:
    """TensorFlow's `crop_and_resize`: one bilinear sample a bin, the corners of the grid on the corners of the box.

    Args:
        features: (N, C, h, w).
        boxes: (R, 4) on inclusive pixel indices (0..extent-1) of the padded frame.
        image_idx: (R,) integers in 0..N-1.
        extent: (height, width) of the padded frame.

    Returns:
        (R, C, S, S) float32; samples outside the map are 0.
    """
    height, width = features.shape[-2:]
    steps = torch.arange(size, dtype=torch.float32, device=boxes.device) / (size - 1)  # (S,)
    scale = boxes.new_tensor([(width - 1) / (extent[1] - 1), (height - 1) / (extent[0] - 1)] * 2)
    x0, y0, x1, y1 = (boxes * scale).unbind(1)
    x = x0[:, None] + steps * (x1 - x0)[:, None]  # (R, S)
    y = y0[:, None] + steps * (y1 - y0)[:, None]
    inside_x, inside_y = (x >= 0) & (x <= width - 1), (y >= 0) & (y <= height - 1)
    grid_x = x / max(width - 1, 1) * 2 - 1
    grid_y = y / max(height - 1, 1) * 2 - 1
    crops = features.new_zeros((len(boxes), features.shape[1], size, size), dtype=torch.float32)
    for image in range(len(features)):
        members = (image_idx == image).nonzero().squeeze(1)
        # The regions of an image are stacked along the height of one sampling grid, so the map is not repeated.
        gx = grid_x[members][:, None, :].expand(-1, size, -1)
        gy = grid_y[members][:, :, None].expand(-1, -1, size)
        grid = torch.stack([gx, gy], dim=-1).reshape(1, -1, size, 2)
        sampled = F.grid_sample(features[image : image + 1].float(), grid, padding_mode="border", align_corners=True)
        crops[members] = sampled[0].unflatten(1, (-1, size)).transpose(0, 1)
    return crops * (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
