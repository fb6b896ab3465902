// Stores of 16 bytes, where rows are long and every byte of them is written.
#pragma once

#include "cuda/launch.cuh"

namespace gaufuse {

template <typename T>
struct alignas(16) Wide {
  static constexpr int size = 16 / sizeof(T);
  T value[size];
};

// out[i] = value_of(i) for i in [0, size), by `threads` threads of which this is number `rank`.
// Elements before and after the part that is aligned to 16 bytes are stored one by one.
template <typename T, typename Value>
__device__ void store_wide(T* out, int64_t size, int rank, int threads, Value value_of) {
  constexpr int wide = Wide<T>::size;
  const int64_t misaligned = reinterpret_cast<uintptr_t>(out) / sizeof(T) % wide;
  const int64_t head = misaligned == 0 ? 0 : wide - misaligned;
  const int64_t first = head < size ? head : size;
  const int64_t chunks = (size - first) / wide;
  const int64_t rest = first + chunks * wide;
  if (rank < first) out[rank] = value_of(rank);
  for (int64_t chunk = rank; chunk < chunks; chunk += threads) {
    const int64_t at = first + chunk * wide;
    Wide<T> values;
#pragma unroll
    for (int i = 0; i < wide; ++i) values.value[i] = value_of(at + i);
    *reinterpret_cast<Wide<T>*>(out + at) = values;
  }
  if (rank < size - rest) out[rest + rank] = value_of(rest + rank);
}

template <typename T>
__device__ void store_zeros(T* out, int64_t size, int rank, int threads) {
  store_wide(out, size, rank, threads, [](int64_t) { return T(0); });
}

}  // namespace gaufuse
