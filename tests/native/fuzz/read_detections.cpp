// read_detections: JSON that a grammar makes is read as it was meant; the same with bytes changed,
// and bytes without a grammar, are read within bounds, and what comes out fits together.
#include "gaufuse/read_detections.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/harness.h"

namespace gaufuse {
namespace {

struct Entry {
  int32_t video;
  std::string label;
  double start;
  double end;
  double score;
};

struct Text {
  std::string json;
  std::vector<std::string> videos;
  std::vector<Entry> entries;
  bool is_usual = true;  // all of it is what read_detections takes
};

std::string space(Bytes& bytes) {
  static const char* const kSpaces[] = {"", "", "", " ", "\n", "\t \r"};
  return kSpaces[bytes.upto(5)];
}

// A number of few digits, and as it is written.
double draw_number(Bytes& bytes, std::string& json) {
  const int64_t whole = bytes.upto(99);
  std::string digits = std::to_string(whole);
  double value = static_cast<double>(whole);
  if (bytes.one_in(2)) {
    digits += ".5";
    value += 0.5;
  }
  if (bytes.one_in(8)) {
    digits += "e2";
    value *= 100.0;
  }
  json += bytes.one_in(6) ? "\"" + digits + "\"" : digits;
  return value;
}

std::string draw_name(Bytes& bytes, std::string& json) {
  static const char* const kNames[][2] = {{"a", "a"},
                                          {"b c", "b c"},
                                          {"", ""},
                                          {"\xc3\xa9", "\xc3\xa9"},
                                          {"\\u00e9", "\xc3\xa9"},
                                          {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
                                          {"\\\"\\n", "\"\n"}};
  const int64_t k = bytes.upto(6);
  json += std::string("\"") + kNames[k][0] + "\"";
  return kNames[k][1];
}

void draw_entry(Bytes& bytes, Text& text) {
  Entry entry{static_cast<int32_t>(text.videos.size()) - 1, "", 0.0, 0.0, 0.0};
  std::string segment = "\"segment\":[";
  entry.start = draw_number(bytes, segment);
  segment += space(bytes) + ",";
  entry.end = draw_number(bytes, segment);
  segment += "]";
  std::string label = "\"label\":" + space(bytes);
  if (bytes.one_in(4)) {
    entry.label = std::to_string(bytes.upto(20));
    label += entry.label;
  } else {
    entry.label = draw_name(bytes, label);
  }
  std::string score = "\"score\":";
  entry.score = draw_number(bytes, score);
  std::string parts[] = {segment, label, score};
  const int64_t shift = bytes.upto(2);
  text.json += "{";
  for (int k = 0; k < 3; ++k)
    text.json += (k > 0 ? "," : "") + space(bytes) + parts[(k + shift) % 3];
  if (bytes.one_in(4)) text.json += ",\"more\":[null,{\"x\":true}]";
  text.json += "}";
  text.is_usual &= entry.end >= entry.start;
  text.entries.push_back(entry);
}

Text draw_text(Bytes& bytes) {
  Text text;
  const bool outer = bytes.one_in(2);
  text.json = outer ? "{\"version\":1.5,\"results\":" + space(bytes) : space(bytes);
  text.json += "{";
  const int64_t videos = bytes.upto(3);
  for (int64_t v = 0; v < videos; ++v) {
    text.videos.push_back("v" + std::to_string(v));
    text.json += (v > 0 ? "," : "") + space(bytes) + "\"" + text.videos.back() + "\":[";
    const int64_t entries = bytes.upto(3);
    for (int64_t i = 0; i < entries; ++i) {
      if (i > 0) text.json += ",";
      draw_entry(bytes, text);
    }
    text.json += "]";
  }
  text.json += outer ? "}}" : "}";
  text.json += space(bytes);
  return text;
}

// As bytes objects lie in memory, but without anything behind them.
bool read(const std::string& json, bool labelled, ReadDetections& found) {
  const std::unique_ptr<char[]> exact(new char[json.size()]);
  std::copy(json.begin(), json.end(), exact.get());
  return read_detections(exact.get(), json.size(), labelled, found);
}

void check_fits_together(const ReadDetections& found) {
  const size_t size = found.scores.size();
  CHECK(found.video_ids.size() == size && found.class_ids.size() == size);
  CHECK(found.segments.size() == 2 * size);
  for (size_t i = 0; i < size; ++i) {
    CHECK(found.video_ids[i] >= 0 &&
          found.video_ids[i] < static_cast<int32_t>(found.videos.size()));
    CHECK(found.class_ids[i] >= 0 &&
          found.class_ids[i] < static_cast<int32_t>(found.classes.size()));
    CHECK(std::isfinite(found.scores[i]));
    CHECK(found.segments[2 * i] <= found.segments[2 * i + 1]);
    CHECK(std::isfinite(found.segments[2 * i]) && std::isfinite(found.segments[2 * i + 1]));
  }
}

void check_as_meant(const Text& text, const ReadDetections& found) {
  CHECK(found.videos == text.videos && found.scores.size() == text.entries.size());
  for (size_t i = 0; i < text.entries.size(); ++i) {
    const Entry& entry = text.entries[i];
    CHECK(found.video_ids[i] == entry.video);
    CHECK(found.classes[static_cast<size_t>(found.class_ids[i])] == entry.label);
    CHECK(found.segments[2 * i] == entry.start && found.segments[2 * i + 1] == entry.end);
    CHECK(found.scores[i] == entry.score);
  }
}

void damage(Bytes& bytes, std::string& json) {
  for (int64_t k = bytes.upto(3); k >= 0 && !json.empty(); --k) {
    const auto at = static_cast<size_t>(bytes.upto(static_cast<int64_t>(json.size()) - 1));
    static constexpr char kMarks[] = "{}[]\",:\\u0-e.\x00\xff";
    switch (bytes.upto(3)) {
      case 0:
        json[at] = kMarks[bytes.upto(14)];
        break;
      case 1:
        json.erase(at, static_cast<size_t>(1 + bytes.upto(9)));
        break;
      case 2:
        json.insert(at, json.substr(at, static_cast<size_t>(1 + bytes.upto(9))));
        break;
      default:
        json[at] = static_cast<char>(bytes.byte());
    }
  }
}

template <typename T>
void run(Bytes& bytes) {
  Text text = draw_text(bytes);
  const bool labelled = !bytes.one_in(4);
  ReadDetections found;
  const bool taken = read(text.json, labelled, found);
  CHECK(taken == text.is_usual);
  if (taken) check_fits_together(found);
  if (taken && labelled) check_as_meant(text, found);
  if (bytes.one_in(8)) {
    text.json.clear();
    for (int64_t k = bytes.upto(60); k > 0; --k) text.json += static_cast<char>(bytes.byte());
  }
  damage(bytes, text.json);
  ReadDetections other;
  if (read(text.json, labelled, other)) check_fits_together(other);
}

}  // namespace
}  // namespace gaufuse

GAUFUSE_FUZZ(read_detections)
