"""Annotations of other tools as COCO dictionaries: one module per format, and `recognise`, which tells them apart."""
