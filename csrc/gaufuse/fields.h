// Parameter structs list their fields once, for whoever fills them by name
// (csrc/bindings/by_name.h).
#pragma once

#include <tuple>

// In a struct, every field in the order of its declaration: GAUFUSE_FIELDS(segments, scores, ...).
// A field that is such a struct itself stands for the fields that it lists.
#define GAUFUSE_FIELDS(...)                                           \
  static constexpr const char* field_names() { return #__VA_ARGS__; } \
  auto fields() { return std::tie(__VA_ARGS__); }
