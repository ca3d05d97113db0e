"""Other packages' checkpoints, a converter for each family."""
