"""Turn annotations of other tools into COCO JSON, and divide them into train and val."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("convert_dataset"))
