// Detections from JSON into flat arrays:
//
//   {"results": {video: [{"segment": [start, end], "label": name or id, "score": number}, ...]}}
//
// or the inner table alone; numbers may be strings. Strict, and for the usual only: on anything
// else (bad JSON, bad UTF-8, a key twice in one object, a missing or unknown kind of value, a
// segment that ends before it starts, NaN, deep nesting) read_detections gives up, and the caller
// takes the general reader (gaufuse_ext/annotations.py), which knows what is wrong and says so.
// What is read is what that one reads, to the last bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gaufuse {

struct ReadDetections {
  std::vector<std::string> videos;   // in the order of the file, also those without detections
  std::vector<std::string> classes;  // in the order in which they come first
  std::vector<int32_t> video_ids;    // (N)
  std::vector<int32_t> class_ids;    // (N)
  std::vector<double> segments;      // (N, 2)
  std::vector<double> scores;        // (N)
};

// False where it gives up; `found` is of no use then. `labelled`: false: of proposals, whose labels
// are not looked at; their one class is "proposal".
bool read_detections(const char* data, size_t size, bool labelled, ReadDetections& found);

}  // namespace gaufuse
