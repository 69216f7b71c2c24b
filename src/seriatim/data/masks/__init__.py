"""Masks as outlines and polygons, and objects that overlap."""
