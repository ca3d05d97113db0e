"""What the server counts, as the text that Prometheus reads."""

import time
from collections import Counter

from maskrcnn.serve.engine import Engine
from maskrcnn.serve.guard import App, Message, Receive, Scope, Send
from maskrcnn.serve.limits import WaitingRoom

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Requests by status and objects, and how long answers took; for one event loop."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()
        self._within: Counter[float] = Counter()
        self._num_timed, self._sum_s = 0, 0.0
        self.num_objects = 0

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request to a route of the server, such as /predict."""
        self._answers[route, status] += 1
        if route == "/predict":
            self._num_timed += 1
            self._sum_s += seconds
            for bucket in BUCKETS_S:
                self._within[bucket] += seconds <= bucket

    def text(self, engine: Engine, room: WaitingRoom) -> str:
        """All of them in the text format 0.0.4."""
        numbers = {
            "pictures_total": ("counter", "Pictures in which objects were found.", engine.num_pictures),
            "batches_total": ("counter", "Times that the network was run.", engine.num_batches),
            "objects_total": ("counter", "Objects in the answers of /predict.", self.num_objects),
            "waiting": ("gauge", "Pictures that nobody has begun.", engine.num_waiting),
            "requests_inside": ("gauge", "Requests with a picture that are read, waiting or at work.", room.num),
            "request_bytes_inside": ("gauge", "Their bytes.", room.num_bytes),
        }
        lines: list[str] = []
        for name, (kind, meaning, value) in numbers.items():
            lines += [*_head(name, kind, meaning), f"maskrcnn_{name} {value}"]
        lines += _head("requests_total", "counter", "Requests by route and status.")
        for (route, status), number in sorted(self._answers.items()):
            lines.append(f'maskrcnn_requests_total{{route="{route}",status="{status}"}} {number}')
        lines += _head("predict_seconds", "histogram", "From a request to /predict to its answer.")
        lines += [f'maskrcnn_predict_seconds_bucket{{le="{bucket:g}"}} {self._within[bucket]}' for bucket in BUCKETS_S]
        lines.append(f'maskrcnn_predict_seconds_bucket{{le="+Inf"}} {self._num_timed}')
        lines.append(f"maskrcnn_predict_seconds_sum {self._sum_s:.6f}")
        lines.append(f"maskrcnn_predict_seconds_count {self._num_timed}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP maskrcnn_{name} {meaning}", f"# TYPE maskrcnn_{name} {kind}"]


class Counted:
    """The middleware (ASGI) that tells `Metrics` of every answer."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.answered(route, message["status"], time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, noted)
