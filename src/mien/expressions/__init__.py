"""What a face is doing, read from codes alone."""
