// cub::BlockScan as far as csrc/cuda uses it: sums of one value a thread.
#pragma once

#include "cuda_runtime.h"

namespace cub {

template <typename T, int BLOCK>
class BlockScan {
 public:
  struct TempStorage {
    T sums[BLOCK];
  };

  explicit BlockScan(TempStorage& storage) : sums_(storage.sums) {}

  // As CUB's, it ends without a barrier: the storage may not be used again before the next one.
  void InclusiveSum(T input, T& output, T& total) {
    sums_[threadIdx.x] = input;
    __syncthreads();
    if (threadIdx.x == 0)
      for (int thread = 1; thread < BLOCK; ++thread) sums_[thread] += sums_[thread - 1];
    __syncthreads();
    output = sums_[threadIdx.x];
    total = sums_[BLOCK - 1];
  }

 private:
  T* sums_;
};

}  // namespace cub
