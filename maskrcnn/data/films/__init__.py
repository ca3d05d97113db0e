"""Films: video files, series of pictures, cameras and streams, a frame at a time."""
