"""From a picture, or a folder of them, to instances."""
