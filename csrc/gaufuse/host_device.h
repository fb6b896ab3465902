// GAUFUSE_HD marks functions that the CPU and the CUDA kernels share. GAUFUSE_HD_CALLED marks large
// ones that device code should call, not inline: inlined into one kernel, they take nvcc minutes.
#pragma once

#ifdef __CUDACC__
#define GAUFUSE_HD __host__ __device__ __forceinline__
#define GAUFUSE_HD_CALLED inline __host__ __device__ __noinline__
#else
#ifndef GAUFUSE_HD
#define GAUFUSE_HD inline
#endif
#define GAUFUSE_HD_CALLED GAUFUSE_HD
#endif
