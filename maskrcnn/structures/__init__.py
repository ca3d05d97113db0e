"""The nouns every other part speaks in: boxes, masks, run-length codes, polygons, instances, targets."""
