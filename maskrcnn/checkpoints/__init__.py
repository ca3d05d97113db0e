"""Weights: saved, read safely, downloaded, carried over to another model."""
