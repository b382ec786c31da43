"""What this processor's registers hold, and how many of them a product uses."""

import llvmlite.binding as llvm

FEATURES = llvm.get_host_cpu_features()
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16
VECTORS = 2  # side by side in a panel
ROWS = 4 if VECTOR_BYTES == 32 else 8  # sums held: 8 of 16 registers, or 16 of 32
