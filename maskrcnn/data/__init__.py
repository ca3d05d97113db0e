"""From files to training batches: images, annotations, transforms, loading."""
