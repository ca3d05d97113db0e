"""Segmentation without weights: thresholds, edges, k-means and watershed, with the values that networks give."""
