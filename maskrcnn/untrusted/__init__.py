"""What strangers wrote: read within limits, and shown in messages within limits."""
