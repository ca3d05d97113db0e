"""Classes of pixels beside objects: what becomes of the maps of a semantic branch."""
