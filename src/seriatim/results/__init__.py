"""What is written for an image and for a whole call: one format a file."""
