"""Checks of a data set before anything is trained on it: every problem by file, annotation, reason and verdict."""

from maskrcnn.data.checks.examine import Examination, blocking, check_coco, check_splits, examine
from maskrcnn.data.checks.kinds import KINDS

__all__ = ["KINDS", "Examination", "blocking", "check_coco", "check_splits", "examine"]
