"""How fast the operations of `gaufuse_ext` are, beside what one would use without them.

`gaufuse bench` and `benchmarks/kernels.py` run it. It needs torch, NumPy and `gaufuse_ext` alone:
the machine with the GPU may have no more. What else is installed (rich, matplotlib, torchvision,
ActionFormer's `nms_1d_cpu`) is used.
"""
