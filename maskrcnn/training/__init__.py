"""From annotated pictures to weights."""
