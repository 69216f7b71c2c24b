"""Readers of data sets, images and labels, their augmentation and batches, and generators of synthetic ones."""
