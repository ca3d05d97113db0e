"""Send good and bad pictures to `maskrcnn serve` from many clients at once, and compare with the predictor alone."""

import argparse
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from maskrcnn.data.sample_picture import draw_sample
from maskrcnn.prediction.predictor import Predictor

NUM_PICTURES = 6
BOUNDARY = "maskrcnn-load-test"


@dataclass
class Tally:
    """What became of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    """Run the test; 1 when a request got no answer, or another than it should."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: %(prog)s --clients 32 --seconds 120")
    add = parser.add_argument
    add("--weights", default="nuclei", help="as serve takes them (default: %(default)s)")
    add("--clients", type=int, default=32, help="that send at the same time (default: %(default)s)")
    add("--seconds", type=float, default=60, help="of sending (default: %(default)g)")
    add("--side", type=int, default=200, help="px of the pictures (default: %(default)s)")
    add(
        "--alone",
        type=float,
        default=15,
        help="seconds of the predictor alone, before and after (default: %(default)g)",
    )
    args = parser.parse_args()

    pictures = [_png(np.roll(draw_sample((args.side, args.side))[0], 17 * i, axis=1)) for i in range(NUM_PICTURES)]
    predictor = Predictor(args.weights, device="cpu", keep_memory=True)
    expected = [len(predictor(data)) for data in pictures]
    bad = _bad_files(pictures[0])
    with _server(args.weights) as (address, process):
        before, cpu_before = _alone(predictor, pictures, args.alone)
        cpu_s = _cpu_s(process.pid)
        tally, memory, took_s = _load(address, process, args, pictures, expected, bad)
        cpu_s = _cpu_s(process.pid) - cpu_s
        after, cpu_after = _alone(predictor, pictures, args.alone)
    alone, cpu_alone = (before + after) / 2, (cpu_before + cpu_after) / 2
    served, cpu_served = tally.answers["good 200"] / took_s, cpu_s / max(1, tally.answers["good 200"])
    third = max(1, len(memory) // 3)
    print(f"{args.clients} clients, {took_s:.0f} s, {sum(tally.answers.values())} requests, pictures of {args.side} px")
    for what, number in sorted(tally.answers.items()):
        print(f"  {what}: {number}")
    print(f"  unanswered or wrong: {len(tally.wrong)}", *tally.wrong[:5], sep="\n    ")
    print(f"good pictures a second: served {served:.2f}, the predictor alone {alone:.2f} ({before:.2f}, {after:.2f})")
    print(f"share of the predictor's own throughput: {served / alone:.0%}")
    # Other processes of the machine change the time on the clock, and this much less.
    print(f"CPU seconds a good picture: served {cpu_served:.3f} (bad files included), alone {cpu_alone:.3f}")
    print(f"share of the predictor's own by CPU time: {cpu_alone / cpu_served:.0%}" if cpu_served else "")
    if tally.seconds:
        slowest = sorted(tally.seconds)[int(0.99 * (len(tally.seconds) - 1))]
        print(f"seconds to an answer: median {statistics.median(tally.seconds):.2f}, 99% below {slowest:.2f}")
    first, last = statistics.median(memory[:third]), statistics.median(memory[-third:])
    print(
        f"memory of the server, MB: {first:.0f} in the first third, {last:.0f} in the last, at most {max(memory):.0f}"
    )
    return int(bool(tally.wrong))


def _load(
    address: str,
    process: "subprocess.Popen[str]",
    args: argparse.Namespace,
    pictures: list[bytes],
    expected: list[int],
    bad: dict[str, tuple[bytes, int]],
) -> tuple[Tally, list[float], float]:
    tally, lock = Tally(), threading.Lock()
    begin = time.monotonic()
    end = begin + args.seconds

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        while time.monotonic() < end:
            is_good = rng.random() < 0.75
            index = int(rng.integers(len(pictures)))
            name = "good" if is_good else str(rng.choice(list(bad)))
            data, wanted = (pictures[index], 200) if is_good else bad[name]
            began = time.monotonic()
            try:
                status, body = _post(address, data)
            except OSError as error:
                with lock:
                    tally.wrong.append(f"{name}: no answer ({error})")
                continue
            with lock:
                tally.answers[f"{name} {status}"] += 1
                if status == 429:
                    continue
                tally.seconds.append(time.monotonic() - began)
                told = json.loads(body)
                if status != wanted:
                    tally.wrong.append(f"{name}: expected {wanted}, got {status}: {told.get('detail')}")
                elif is_good and len(told["annotations"]) != expected[index]:
                    tally.wrong.append(f"{name}: expected {expected[index]} objects, got {len(told['annotations'])}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(args.clients)]
    for thread in threads:
        thread.start()
    memory = []
    while any(thread.is_alive() for thread in threads):
        memory.append(_resident_mb(process.pid))
        time.sleep(0.5)
    return tally, memory, time.monotonic() - begin


def _alone(predictor: Predictor, pictures: list[bytes], seconds: float) -> tuple[float, float]:
    """(pictures a second, CPU seconds a picture), from the bytes of a file to the codes of the masks."""
    num, began, cpu_began = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        predictor(pictures[num % len(pictures)]).rles()
        num += 1
    return num / (time.monotonic() - began), (time.process_time() - cpu_began) / num


def _bad_files(good: bytes) -> dict[str, tuple[bytes, int]]:
    """(content, status) of what is refused."""
    header = bytearray(good)
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    return {
        "text": (b"no picture at all", 415),
        "empty": (b"", 415),
        "cut off": (good[: len(good) // 2], 422),
        "claims 3600 megapixels": (bytes(header), 413),
        "pdf": (b"%PDF-1.7\n", 415),
    }


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _post(address: str, data: bytes) -> tuple[int, bytes]:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'.encode()
    body = b"".join((head, data, f"\r\n--{BOUNDARY}--\r\n".encode()))
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


@contextmanager
def _server(weights: str) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "maskrcnn", "serve", "--no-browser", "--port", "0", "--weights", weights]
        command += ["--data", folder, "--timeout", "300", "--device", "cpu"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            try:
                line = next(line for line in process.stdout if line.startswith("serving at "))
                yield line.split()[2], process
            finally:
                process.terminate()


def _cpu_s(pid: int) -> float:
    """That a process has used, on Linux; 0 elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def _resident_mb(pid: int) -> float:
    """Of Linux; 0 elsewhere."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
