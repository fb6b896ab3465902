// GAUFUSE_MULTIVERSION before a function compiles it for several generations of x86-64; the loader
// picks one. Nothing is contracted (-ffp-contract=off) and no sum is reordered, so the versions
// give the same bits. Elsewhere, and under sanitizers (which are not up when the loader picks), or
// with GAUFUSE_ONE_VERSION, it is compiled once.
#pragma once

#include <climits>  // defines __GLIBC__ where it applies

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                       \
    !defined(GAUFUSE_ONE_VERSION)
#define GAUFUSE_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define GAUFUSE_MULTIVERSION
#endif

#if defined(__GNUC__)
#define GAUFUSE_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define GAUFUSE_ALWAYS_INLINE inline
#endif
