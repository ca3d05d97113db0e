"""What strangers wrote: read within limits, and shown in messages, names and tables so that it does nothing else."""
