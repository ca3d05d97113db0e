"""Building blocks without weights: box coding, matching, sampling, NMS, RoIAlign."""
