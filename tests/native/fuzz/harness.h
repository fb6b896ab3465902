// The entry point of a harness, for libFuzzer and for random_inputs.cpp.
#pragma once

#include "fuzz/bytes.h"
#include "fuzz/check.h"

// Calls gaufuse::run<T>(bytes) with float or double.
#define GAUFUSE_FUZZ(operation)                                             \
  extern "C" const char* fuzz_name() { return #operation; }                 \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    gaufuse::Bytes bytes(data, size);                                       \
    if (bytes.one_in(2))                                                    \
      gaufuse::run<float>(bytes);                                           \
    else                                                                    \
      gaufuse::run<double>(bytes);                                          \
    return 0;                                                               \
  }
