"""The operations in NumPy, slow and obvious: what the kernels are tested against."""
