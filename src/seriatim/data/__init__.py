"""Readers of data sets, pictures and labels, their augmentation and batches, and generators of synthetic ones."""
