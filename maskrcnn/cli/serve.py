"""Serve a model over HTTP: an interface for programs, and a page in the browser."""

import argparse
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from maskrcnn.checkpoints.weights import DEFAULT_WEIGHTS
from maskrcnn.cli.default_weights import DEFAULT_IS_FOR
from maskrcnn.cli.model_arguments import add_model_arguments, add_tile_arguments, load_predictor
from maskrcnn.files import clear_temporaries, folder_lock
from maskrcnn.optional import needed
from maskrcnn.prediction.execution import share_freed_memory
from maskrcnn.serve.app import EXTRA, build_app
from maskrcnn.serve.guard import OWN_NAMES, Door
from maskrcnn.serve.limits import Limits
from maskrcnn.serve.project import Project

PORT = 8000
GPU_BATCH = 8
ANYWHERE = ("0.0.0.0", "::")


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `serve`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Open a page in the browser that counts what is in pictures, and keeps what a person corrects as a "
        "COCO data set. Programs send pictures to /predict and get COCO, GeoJSON or a drawing back (see /docs). "
        "Only this machine is served, unless told otherwise.",
        epilog="example: %(prog)s --weights run/best.safetensors --port 8080",
    )
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        default=Path("corrections"),
        metavar="FOLDER",
        help="folder for the pictures that are dropped on the page, and for their corrections as a COCO data set "
        "(default: %(default)s)",
    )
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen at; any but this machine's own needs a token, which is made and printed if --token "
        "does not give one (default: %(default)s)",
    )
    add("--port", type=int, default=PORT, help="port to listen at; 0 takes a free one (default: %(default)s)")
    add("--token", help="what a request has to know, at least 16 letters; for 127.0.0.1 none is needed")
    add(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="further names that browsers know this server by, as behind a proxy",
    )
    add("--no-browser", action="store_true", help="do not open the page in a browser")
    add("--batch", type=int, metavar="N", help=f"pictures that a GPU does together (default: {GPU_BATCH}; 1 on a CPU)")
    limits = Limits()
    add("--max-bytes", type=_whole, default=limits.max_bytes, metavar="N", help="of a request (default: 64 MiB)")
    add(
        "--max-pixels",
        type=_whole,
        default=limits.max_pixels,
        metavar="N",
        help="largest number of pixels of a picture, such as 100e6 (default: 50e6)",
    )
    add(
        "--max-waiting",
        type=int,
        default=limits.max_waiting,
        metavar="N",
        help="requests that wait; a further one is told to come back (default: %(default)s)",
    )
    add(
        "--timeout",
        type=float,
        default=limits.answer_timeout_s,
        metavar="S",
        help="seconds in which a request gets its answer (default: %(default)g)",
    )
    add_model_arguments(parser)
    add_tile_arguments(parser, "images that the network would see smaller than usual, or in which it reaches a limit")
    return parser


def execute(args: argparse.Namespace) -> int:
    """Run the command until it is interrupted."""
    uvicorn = needed("uvicorn", EXTRA, "the server")
    needed("fastapi", EXTRA, "the server")
    if args.token is not None and (len(args.token) < 16 or not args.token.isascii() or not args.token.isalnum()):
        raise ValueError("--token: expected at least 16 letters and digits")
    limits = Limits(
        max_bytes=args.max_bytes,
        max_pixels=args.max_pixels,
        max_waiting=args.max_waiting,
        answer_timeout_s=args.timeout,
    )
    door = door_of(args)
    if args.data.exists() and not args.data.is_dir():
        raise ValueError(f"--data: expected a folder, {args.data} is a file")
    with ExitStack() as stack:
        listening = stack.enter_context(_listen(args.host, args.port))
        if args.weights is None:
            print(f"no --weights given: {DEFAULT_IS_FOR}")
        share_freed_memory()  # before there are threads
        predictor = load_predictor(args, args.batch or 1)
        if args.batch is None and predictor.device.type != "cpu":
            predictor.batch_size = GPU_BATCH
        stack.enter_context(folder_lock(args.data, "serve"))
        clear_temporaries(args.data)
        score = predictor.settings.detection.score_threshold
        project = Project(args.data, predictor.class_names, predictor.category_ids, score, predictor.description)
        print(f"pictures and corrections are kept in {args.data}, {len(project.pictures)} pictures so far")
        commands = partial(train_commands, args.data, args.weights)
        app = build_app(predictor, limits=limits, door=door, project=project, train_commands=commands)
        address = address_of(listening, args.host)
        opened = address if door.token is None else f"{address}/?token={door.token}"
        print(
            f"serving at {opened} (Ctrl-C ends it); for programs: POST {address}/predict, described at {address}/docs"
        )
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        if not args.no_browser:
            threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start()
        with suppress(KeyboardInterrupt):  # raised again after the end, unless whoever started this ignores it
            uvicorn.Server(config).run(sockets=[listening])
        print("stopped")
    return 0


def door_of(args: argparse.Namespace) -> Door:
    """Who may come in: everybody on this machine, or who knows the token."""
    names = OWN_NAMES | {name.lower() for name in args.allow_host}
    if args.host in OWN_NAMES:
        return Door(args.token, names)
    # A token keeps other pages out by itself; a number in place of a name is nobody's but this machine's.
    own = {args.host.lower(), socket.gethostname().lower()} - set(ANYWHERE)
    return Door(args.token or secrets.token_hex(16), names | own, any_address=True)


def train_commands(data: Path, weights: str | None, run: Path) -> list[list[str]]:
    """Train from the pictures that somebody has checked, then compare on those that were held back."""
    start = str(weights or DEFAULT_WEIGHTS)
    images, python = str(data / "images"), [sys.executable, "-m"]
    train = ["maskrcnn", "train", "--annotations", str(data / "checked.json"), "--images", images]
    after, held_back = str(run / "best.safetensors"), str(run / "data" / "val.json")
    compare = ["maskrcnn", "compare", "--annotations", held_back, "--images", images, "--methods", "--weights"]
    return [[*python, *train, "--init", start, "--out", str(run)], [*python, *compare, start, after]]


def address_of(listening: socket.socket, host: str) -> str:
    """What to open in a browser."""
    port = listening.getsockname()[1]
    name = socket.gethostname() if host in ANYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _whole(text: str) -> int:
    """A whole number, such as 50e6."""
    return int(float(text))  # argparse says what is wrong with what is no number


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ValueError(f"cannot listen at {host}, port {port} ({reason}); --port 0 takes a free one") from None
