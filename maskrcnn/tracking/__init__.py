"""Objects followed over the frames of a film, and counted once: in all, across lines, in zones."""
