"""Anchors one at a time."""


def anchors(size: float, ratios: list[float], strides: tuple[int, int], grid: tuple[int, int]) -> list[list[float]]:
    """x0 y0 x1 y1 of one level: cell after cell in rows, the ratios (height / width) of a cell together."""
    boxes = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            for ratio in ratios:
                height, width = size * ratio**0.5, size / ratio**0.5
                x, y = column * strides[1], row * strides[0]
                boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return boxes
