"""Checks of a data set before anything is trained on it: every problem by file, annotation, reason and verdict."""

from maskrcnn.data.checks.examine import Examination, check_coco, examine

__all__ = ["Examination", "check_coco", "examine"]
