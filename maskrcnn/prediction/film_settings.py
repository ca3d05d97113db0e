"""How a film is done, and what came of it."""

from dataclasses import dataclass, field

from maskrcnn.data.films.frame import Choice
from maskrcnn.data.films.series import SERIES_RATE
from maskrcnn.data.pages import Reading
from maskrcnn.report.selection import Selection
from maskrcnn.tracking.lines import HYSTERESIS_PX
from maskrcnn.tracking.tracker import TrackingRules

TRAIL_FRAMES = 25
"""For so long the way of an object is drawn."""


@dataclass(frozen=True)
class LineSpec:
    """A line to count at: see `LineCounter`."""

    name: str
    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True)
class FilmSettings:
    """How a film is done."""

    choice: Choice = field(default_factory=Choice)
    frame_rate: float = SERIES_RATE
    """In a second, of pictures and pages without times."""
    live: bool = False
    confirm_frames: int = TrackingRules.confirm_frames
    max_lost_frames: int = TrackingRules.max_lost_frames
    lines: tuple[LineSpec, ...] = ()
    hysteresis_px: float = HYSTERESIS_PX
    zones: tuple = ()
    """Regions, or (name, corners)."""
    is_drawn: bool = True
    trail_frames: int = TRAIL_FRAMES
    redo: bool = False
    overwrite: bool = False
    reading: Reading = field(default_factory=Reading)
    selection: Selection = field(default_factory=Selection)
    classes: tuple[str, ...] | None = None
    """Names to keep; None keeps all."""


@dataclass(frozen=True)
class FilmSummary:
    """What came of a film."""

    name: str
    counts: dict[str, int]
    """Different objects of each class."""
    num_frames: int
    num_dropped: int
    notes: tuple[str, ...]
    """What was wrong with the film, and limits that results reached."""
    crossings: dict[str, dict[str, int]]
    """By line the objects that went in and out."""
    zones: dict[str, tuple[int, float]]
    """By name: objects that ever were in it, and how long on the average, s."""
    codec: str
    seconds: dict[str, float]
    """By stage; stages overlap."""
    was_stopped: bool

    @property
    def status(self) -> str:
        return "; ".join(self.notes) or "ok"
