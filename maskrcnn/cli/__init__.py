"""The doors: arguments in, one engine call, one sentence for what went wrong."""
