"""The permutohedral lattice and the dense CRF.

permutohedral         the lattice: its plain form in PyTorch, and the class that chooses between the forms
dense_crf             the CRF as a layer, likewise
detection_potential   the higher-order potential of detections
semantic_crf          both together, as the last layer of a semantic network
lattice_keys          packed keys of lattice points
lattice_kernels       the compiled form of the lattice for the CPU
crf_kernels           the compiled form of a mean-field iteration for the CPU
simd                  the vector instructions of both
"""

from seriatim.nn.crf.dense_crf import DenseCRF as DenseCRF
from seriatim.nn.crf.permutohedral import PermutohedralLattice as PermutohedralLattice
