"""Published checkpoints: one converter of names and layouts for each family."""
