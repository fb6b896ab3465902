#include "gaufuse/read_detections.h"

#include <deque>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "cpu/json_scanner.h"

namespace gaufuse {
namespace {

constexpr int kDepth = 8;
constexpr double kLargestId = 1e15;  // integers up to here are doubles

class Reader {
 public:
  Reader(const char* data, size_t size, bool labelled, ReadDetections& found)
      : data_(data), size_(size), labelled_(labelled), scanner_(data, size), found_(found) {}

  bool read() {
    bool has_results = false;
    const bool whole = scanner_.object([&](std::string_view key) {
      if (!outer_keys_.emplace(key).second) return false;
      if (key == "database") return false;  // perhaps the other file
      if (key != "results") return scanner_.skip(kDepth);
      has_results = true;
      return table();
    });
    if (!whole || !scanner_.at_end()) return false;
    if (has_results) return true;
    scanner_ = JsonScanner(data_, size_);
    return table() && scanner_.at_end();
  }

 private:
  bool table() {
    return scanner_.object([&](std::string_view key) {
      if (!video_names_.emplace(key).second) return false;
      if (found_.videos.size() == std::numeric_limits<int32_t>::max()) return false;
      found_.videos.emplace_back(key);
      return scanner_.array([&] { return entry(); });
    });
  }

  bool entry() {
    double start = 0.0, end = 0.0, score = 0.0;
    int32_t label = -1;
    bool has_segment = false, has_label = false, has_score = false;
    other_keys_.clear();
    const auto first_of = [](bool& seen) { return !std::exchange(seen, true); };
    const bool whole = scanner_.object([&](std::string_view key) {
      if (key == "segment") return first_of(has_segment) && segment(start, end);
      if (key == "label")
        return first_of(has_label) && (labelled_ ? class_id(label) : scanner_.skip(kDepth));
      if (key == "score") return first_of(has_score) && scanner_.number_or_text(score);
      for (const std::string& other : other_keys_)
        if (other == key) return false;
      other_keys_.emplace_back(key);
      return scanner_.skip(kDepth);
    });
    if (!labelled_) intern("proposal", label);
    if (!whole || !has_segment || label < 0 || !has_score || end < start) return false;
    if (found_.scores.size() == std::numeric_limits<int32_t>::max()) return false;
    found_.video_ids.push_back(static_cast<int32_t>(found_.videos.size()) - 1);
    found_.class_ids.push_back(label);
    found_.segments.push_back(start);
    found_.segments.push_back(end);
    found_.scores.push_back(score);
    return true;
  }

  bool segment(double& start, double& end) {
    return scanner_.take('[') && scanner_.number_or_text(start) && scanner_.take(',') &&
           scanner_.number_or_text(end) && scanner_.take(']');
  }

  // A name, or an id, whose name is its digits.
  bool class_id(int32_t& id) {
    std::string_view name;
    if (scanner_.peek() == '"') {
      if (!scanner_.string(name)) return false;
    } else {
      double value;
      bool is_integer;
      if (!scanner_.number(value, is_integer)) return false;
      if (!is_integer || value > kLargestId || value < -kLargestId) return false;
      digits_ = std::to_string(static_cast<int64_t>(value));
      name = digits_;
    }
    intern(name, id);
    return true;
  }

  // The id of a class by this name, a new one perhaps.
  void intern(std::string_view name, int32_t& id) {
    if (last_ >= 0 && found_.classes[last_] == name) {  // a video's detections often have one class
      id = last_;
      return;
    }
    const auto known = class_ids_.find(name);
    if (known != class_ids_.end()) {
      id = last_ = known->second;
      return;
    }
    id = last_ = static_cast<int32_t>(found_.classes.size());
    found_.classes.emplace_back(name);
    class_ids_.emplace(class_names_.emplace_back(name), id);
  }

  const char* data_;
  size_t size_;
  bool labelled_;
  JsonScanner scanner_;
  ReadDetections& found_;
  std::unordered_set<std::string> outer_keys_;
  std::unordered_set<std::string> video_names_;
  std::unordered_map<std::string_view, int32_t> class_ids_;
  std::deque<std::string> class_names_;  // what class_ids_ looks at: a deque moves nothing
  std::vector<std::string> other_keys_;  // of the entry at hand
  std::string digits_;
  int32_t last_ = -1;
};

}  // namespace

bool read_detections(const char* data, size_t size, bool labelled, ReadDetections& found) {
  return Reader(data, size, labelled, found).read();
}

}  // namespace gaufuse
