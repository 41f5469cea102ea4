"""Work out what a training distribution leaves open, before any training."""
