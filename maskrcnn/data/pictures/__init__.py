"""Picture files: which there are, what each holds, and its pixels."""
