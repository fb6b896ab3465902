#include "cpu/compare_bits.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define GAUFUSE_X86 1
#include <immintrin.h>
#endif

namespace gaufuse {
namespace {

template <typename T>
uint64_t compare_rest(const T* values, int size, T threshold) {
  uint64_t bits = 0;
  for (int i = 0; i < size; ++i) bits |= static_cast<uint64_t>(values[i] > threshold) << i;
  return bits;
}

// compare64(values, threshold) gives the word of 64 values. Inlined into functions compiled for
// the instructions that compare64 uses.
#define GAUFUSE_COMPARE_LOOP(compare64)                                      \
  int64_t base = 0;                                                          \
  for (; base + 64 <= size; base += 64) *words++ = compare64(values + base); \
  if (base < size) *words = compare_rest(values + base, static_cast<int>(size - base), threshold);

#ifdef GAUFUSE_X86

__attribute__((target("avx512f"))) void compare_avx512(const float* values, int64_t size,
                                                       float threshold, uint64_t* words) {
  const __m512 limit = _mm512_set1_ps(threshold);
  const auto compare64 = [limit](const float* x) __attribute__((target("avx512f"))) {
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 16)
      bits |= static_cast<uint64_t>(_mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), limit, _CMP_GT_OQ))
              << i;
    return bits;
  };
  GAUFUSE_COMPARE_LOOP(compare64)
}

__attribute__((target("avx512f"))) void compare_avx512(const double* values, int64_t size,
                                                       double threshold, uint64_t* words) {
  const __m512d limit = _mm512_set1_pd(threshold);
  const auto compare64 = [limit](const double* x) __attribute__((target("avx512f"))) {
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 8)
      bits |= static_cast<uint64_t>(_mm512_cmp_pd_mask(_mm512_loadu_pd(x + i), limit, _CMP_GT_OQ))
              << i;
    return bits;
  };
  GAUFUSE_COMPARE_LOOP(compare64)
}

__attribute__((target("avx2"))) void compare_avx2(const float* values, int64_t size,
                                                  float threshold, uint64_t* words) {
  const __m256 limit = _mm256_set1_ps(threshold);
  const auto compare64 = [limit](const float* x) __attribute__((target("avx2"))) {
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 8) {
      const __m256 above = _mm256_cmp_ps(_mm256_loadu_ps(x + i), limit, _CMP_GT_OQ);
      bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_ps(above))) << i;
    }
    return bits;
  };
  GAUFUSE_COMPARE_LOOP(compare64)
}

__attribute__((target("avx2"))) void compare_avx2(const double* values, int64_t size,
                                                  double threshold, uint64_t* words) {
  const __m256d limit = _mm256_set1_pd(threshold);
  const auto compare64 = [limit](const double* x) __attribute__((target("avx2"))) {
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 4) {
      const __m256d above = _mm256_cmp_pd(_mm256_loadu_pd(x + i), limit, _CMP_GT_OQ);
      bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_pd(above))) << i;
    }
    return bits;
  };
  GAUFUSE_COMPARE_LOOP(compare64)
}

#endif  // GAUFUSE_X86

template <typename T>
void compare_plain(const T* values, int64_t size, T threshold, uint64_t* words) {
  const auto compare64 = [threshold](const T* x) { return compare_rest(x, 64, threshold); };
  GAUFUSE_COMPARE_LOOP(compare64)
}

template <typename T>
void compare([[maybe_unused]] Vectors vectors, const T* values, int64_t size, T threshold,
             uint64_t* words) {
#ifdef GAUFUSE_X86
  if (vectors == Vectors::avx512) return compare_avx512(values, size, threshold, words);
  if (vectors == Vectors::avx2) return compare_avx2(values, size, threshold, words);
#endif
  compare_plain(values, size, threshold, words);
}

}  // namespace

Vectors widest_vectors() {
#ifdef GAUFUSE_X86
  static const Vectors widest = __builtin_cpu_supports("avx512f") ? Vectors::avx512
                                : __builtin_cpu_supports("avx2")  ? Vectors::avx2
                                                                  : Vectors::plain;
  return widest;
#else
  return Vectors::plain;
#endif
}

void greater_bits(const float* values, int64_t size, float threshold, uint64_t* words) {
  compare(widest_vectors(), values, size, threshold, words);
}

void greater_bits(const double* values, int64_t size, double threshold, uint64_t* words) {
  compare(widest_vectors(), values, size, threshold, words);
}

void greater_bits_on(Vectors vectors, const float* values, int64_t size, float threshold,
                     uint64_t* words) {
  compare(vectors, values, size, threshold, words);
}

void greater_bits_on(Vectors vectors, const double* values, int64_t size, double threshold,
                     uint64_t* words) {
  compare(vectors, values, size, threshold, words);
}

}  // namespace gaufuse
