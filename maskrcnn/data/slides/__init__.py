"""Pictures too large to hold: read window by window."""
