// GAUFUSE_HD marks functions that the CPU and the CUDA kernels share.
#pragma once

#ifdef __CUDACC__
#define GAUFUSE_HD __host__ __device__ __forceinline__
#elif !defined(GAUFUSE_HD)
#define GAUFUSE_HD inline
#endif
