"""Checks of a data set before anything is trained on it: every problem by file, annotation, reason and verdict."""

from maskrcnn.data.checks.examine import Examination, blocking, check_coco, check_splits, examine
from maskrcnn.data.problems import CHECK_KINDS

__all__ = ["CHECK_KINDS", "Examination", "blocking", "check_coco", "check_splits", "examine"]
