"""Draw a synthetic fluorescence micrograph with a known number of nuclei, to run on when there is no picture."""

from dataclasses import dataclass

import numpy as np

NUCLEI_PER_PIXEL = 60 / (512 * 512)
TOUCHING_SHARE = 0.25  # of the nuclei are set against an earlier one
_TRIES = 200  # places tried for one nucleus before the picture counts as full


@dataclass(frozen=True)
class _Nucleus:
    """An ellipse with a wavy outline; lengths in pixels, angles in radians, the brightness in grey levels."""

    y: float
    x: float
    semi_axes: tuple[float, float]
    tilt: float
    waves: tuple[tuple[int, float, float], ...]  # (number of bumps, height as a share of the radius, phase)
    brightness: float

    def radius(self, angle: np.ndarray | float) -> np.ndarray:
        """Distance from the centre to the outline in the direction `angle`."""
        a, b = self.semi_axes
        along = np.asarray(angle) - self.tilt
        wavy = 1.0 + sum(height * np.cos(bumps * along + phase) for bumps, height, phase in self.waves)
        return a * b / np.sqrt((b * np.cos(along)) ** 2 + (a * np.sin(along)) ** 2) * wavy


def draw_sample(size: tuple[int, int] = (512, 512), seed: int = 0) -> tuple[np.ndarray, int]:
    """Return a grey picture as RGB uint8 (H, W, 3) and the number of nuclei in it, those cut by the border included.

    `size` is (height, width) in pixels; 512 x 512 holds about 60 nuclei of 14 to 40 pixels. The same arguments give the
    same picture everywhere.
    """
    height, width = size
    # RandomState rather than Generator: numpy promises never to change the numbers that it gives.
    rng = np.random.RandomState(seed)
    nuclei = _place(height, width, max(1, round(NUCLEI_PER_PIXEL * height * width)), rng)

    chromatin = _unit_noise(height, width, 2, rng) + 0.7 * _unit_noise(height, width, 5, rng)
    picture = np.zeros((height, width))
    for nucleus in nuclei:
        _render(picture, nucleus, chromatin)
    picture = _blur(picture, 1)
    picture += 0.1 * _blur(picture, 16)  # light from above and below the focal plane
    picture += 11.0 + 2.0 * _unit_noise(height, width, 60, rng)  # uneven illumination of the ground
    picture += np.sqrt(2.0 + 0.06 * picture) * rng.standard_normal((height, width))  # camera noise and photon noise
    grey = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), len(nuclei)


def _place(height: int, width: int, number: int, rng: np.random.RandomState) -> list[_Nucleus]:
    nuclei: list[_Nucleus] = []
    for _ in range(number):
        long_axis = rng.uniform(9.0, 20.0)
        semi_axes = (long_axis, max(7.0, long_axis * rng.uniform(0.58, 0.92)))
        tilt = rng.uniform(0.0, np.pi)
        waves = tuple((bumps, rng.uniform(0.0, 0.09 / (bumps - 1)), rng.uniform(0.0, 2 * np.pi)) for bumps in (2, 3, 4))
        brightness = 45.0 * 4.0 ** rng.uniform(0.0, 1.0)
        touching = bool(nuclei) and rng.uniform() < TOUCHING_SHARE
        for _ in range(_TRIES):
            y, x = rng.uniform(0.0, height), rng.uniform(0.0, width)
            nucleus = _Nucleus(y, x, semi_axes, tilt, waves, brightness)
            if touching:
                other = nuclei[rng.randint(len(nuclei))]
                angle = rng.uniform(-np.pi, np.pi)
                distance = float(other.radius(angle) + nucleus.radius(angle + np.pi))
                y, x = other.y + distance * np.sin(angle), other.x + distance * np.cos(angle)
                nucleus = _Nucleus(y, x, semi_axes, tilt, waves, brightness)
            visible = 2 <= y < height - 2 and 2 <= x < width - 2
            if visible and all(_gap(nucleus, other) >= (-0.5 if touching else 3.0) for other in nuclei):
                nuclei.append(nucleus)
                break
    return nuclei


def _gap(one: _Nucleus, other: _Nucleus) -> float:
    """Pixels of ground between two nuclei on the line between their centres."""
    angle = np.arctan2(other.y - one.y, other.x - one.x)
    distance = np.hypot(other.y - one.y, other.x - one.x)
    return float(distance - one.radius(angle) - other.radius(angle + np.pi))


def _render(picture: np.ndarray, nucleus: _Nucleus, chromatin: np.ndarray) -> None:
    height, width = picture.shape
    reach = 1.2 * max(nucleus.semi_axes) + 5.0
    top, bottom = max(0, int(nucleus.y - reach)), min(height, int(nucleus.y + reach) + 1)
    left, right = max(0, int(nucleus.x - reach)), min(width, int(nucleus.x + reach) + 1)
    dy = np.arange(top, bottom)[:, None] + 0.5 - nucleus.y
    dx = np.arange(left, right)[None, :] + 0.5 - nucleus.x
    distance = np.hypot(dy, dx)
    radius = nucleus.radius(np.arctan2(dy, dx))
    edge = 1.0 / (1.0 + np.exp(np.clip((distance - radius) / 0.8, -30.0, 30.0)))
    dome = 0.8 + 0.2 * np.sqrt(np.clip(1.0 - (distance / radius) ** 2, 0.0, 1.0))
    texture = np.clip(1.0 + 0.13 * chromatin[top:bottom, left:right], 0.5, 1.5)
    window = picture[top:bottom, left:right]
    np.maximum(window, nucleus.brightness * edge * dome * texture, out=window)


def _unit_noise(height: int, width: int, grain_px: int, rng: np.random.RandomState) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1, (height, width), whose grains are about `grain_px` wide."""
    noise = _blur(rng.standard_normal((height, width)), grain_px)
    return (noise - noise.mean()) / max(noise.std(), 1e-9)


def _blur(picture: np.ndarray, radius: int) -> np.ndarray:
    """Three box averages of 2 * radius + 1 pixels along each axis: nearly Gaussian, and the same on every machine."""
    for axis in (0, 1):
        for _ in range(3):
            pad = [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)]
            sums = np.cumsum(np.pad(picture, pad, mode="edge"), axis=axis)
            window = 2 * radius + 1
            after = np.take(sums, range(window, sums.shape[axis]), axis=axis)
            before = np.take(sums, range(sums.shape[axis] - window), axis=axis)
            picture = (after - before) / window
    return picture
