"""The permutohedral lattice, the dense CRF and their compiled kernels."""
