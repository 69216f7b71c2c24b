"""Figures of what `analysis` computes. matplotlib is imported only here; the extra `plots` installs it."""
