"""What a training distribution leaves open, worked out before any training."""
