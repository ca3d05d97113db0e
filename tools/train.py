"""Train or fine-tune a model on COCO data."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("train"))
