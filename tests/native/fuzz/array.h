// An array that ends where its memory does, so that a sanitizer sees a step too far, and that
// begins at any multiple of its items' size, as a slice of a tensor does.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

#include "fuzz/bytes.h"

namespace gaufuse {

template <typename T>
class Array {
 public:
  Array() = default;

  // Filled with bytes that are no result of anything: NaN, or a large negative integer.
  Array(int64_t size, int64_t offset) : size_(size), offset_(offset) {
    memory_.reset(new T[static_cast<size_t>(size + offset)]);
    std::memset(static_cast<void*>(memory_.get()), 0xfb,
                sizeof(T) * static_cast<size_t>(size + offset));
  }

  T* data() { return memory_.get() + offset_; }
  const T* data() const { return memory_.get() + offset_; }
  int64_t size() const { return size_; }
  T& operator[](int64_t i) { return data()[i]; }
  const T& operator[](int64_t i) const { return data()[i]; }

 private:
  std::unique_ptr<T[]> memory_;
  int64_t size_ = 0;
  int64_t offset_ = 0;
};

template <typename T>
Array<T> make_array(Bytes& bytes, int64_t size) {
  return Array<T>(size, bytes.upto(3));
}

}  // namespace gaufuse
