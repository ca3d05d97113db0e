"""Check this machine: versions, hardware, whether the answer is right, how fast it comes."""

import argparse
import sys

from maskrcnn.prediction.machine_checks import checks

SIGNS = {"ok": "  ok", "note": "note", "wrong": "!!!!"}
RED, PLAIN = "\033[31m", "\033[0m"


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The arguments of `doctor`."""
    return argparse.ArgumentParser(
        prog=prog,
        description="Check this machine: versions, processor, memory, extras, whether the shipped weights find in the "
        "sample image what they should, and how fast. Paste all of it into a bug report. The exit status is 1 if "
        "something is wrong.",
        epilog="example: %(prog)s",
    )


def execute(args: argparse.Namespace) -> int:
    """Run the command; 1 when something is wrong."""
    del args
    num_wrong = 0
    for check in checks():
        is_wrong = check.verdict == "wrong"
        num_wrong += is_wrong
        begin, end = (RED, PLAIN) if is_wrong and sys.stdout.isatty() else ("", "")
        print(f"{begin}{SIGNS[check.verdict]}  {check.name:12} {check.found}{end}", flush=True)
        if check.advice:
            print(f"{'':19}-> {check.advice}", flush=True)
    print(f"{num_wrong} thing{'s' * (num_wrong != 1)} wrong" if num_wrong else "nothing is wrong")
    return 1 if num_wrong else 0
