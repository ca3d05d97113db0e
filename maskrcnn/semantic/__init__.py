"""A class for every pixel: networks of their own, and what becomes of the maps of a semantic branch."""
