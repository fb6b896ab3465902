// Where the segments of a group lie: an index by length and position, so that a greedy operation
// meets only the segments near its seed, not all that remain.
//
// Segments are binned by octave of length, and within an octave by start, in cells as wide as the
// octave's shortest segments. Cells of one octave are neighbours in memory. All that can overlap a
// window lies in a few cells more than the window is wide, in each octave: a search costs what it
// finds. Where positions are not ordinary numbers, all lie in one cell and a search visits all.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gaufuse/segment_overlap.h"

namespace gaufuse {

class SegmentIndex {
 public:
  // Builds the index of (count, 2) segments; `binned` false puts all of them into one cell.
  template <typename T>
  void build(const T* segments, int64_t count, bool binned) {
    measure(segments, count, binned);
    cell_of_.resize(count);
    first_.assign(cells_ + 1, 0);
    for (int64_t i = 0; i < count; ++i) {
      cell_of_[i] = find_cell(segments[2 * i], segments[2 * i + 1]);
      ++first_[cell_of_[i] + 1];
    }
    for (int64_t cell = 0; cell < cells_; ++cell) first_[cell + 1] += first_[cell];
    slots_.resize(count);
    slot_of_.resize(count);
    next_.assign(first_.begin(), first_.end() - 1);
    for (int64_t i = 0; i < count; ++i) {
      const int32_t slot = next_[cell_of_[i]]++;
      slot_of_[i] = slot;
      slots_[slot] = Slot{static_cast<double>(segments[2 * i]),
                          static_cast<double>(segments[2 * i + 1]), static_cast<int32_t>(i)};
    }
  }

  bool alive(int32_t index) const { return !is_removed(slots_[slot_of_[index]]); }

  Segment segment(int32_t index) const {
    const Slot& slot = slots_[slot_of_[index]];
    return Segment{slot.start, slot.end};
  }

  void remove(int32_t index) { remove(slots_[slot_of_[index]]); }

  // Calls take(index, segment) for every segment left that comes within `reach` of the window, and
  // maybe for others; removes those for which it returns true. Order: by octave, then by cell.
  template <typename Take>
  void sweep(Segment window, double reach, Take take) {
    const double low = window.start - reach;
    const double high = window.end + reach;
    for (const Octave& octave : octaves_) {
      const int64_t begin =
          clamp_cell((low - 2.0 * octave.width - origin_) / octave.width - 1.0, octave.cells);
      const int64_t end = clamp_cell((high - origin_) / octave.width + 1.0, octave.cells);
      Slot* slot = slots_.data() + first_[octave.first_cell + begin];
      Slot* const stop = slots_.data() + first_[octave.first_cell + end + 1];
      for (; slot != stop; ++slot) {
        // Removed segments fail here too.
        if (everything_ ? is_removed(*slot) : !(slot->start <= high && slot->end >= low)) continue;
        if (take(slot->index, Segment{slot->start, slot->end})) remove(*slot);
      }
    }
  }

 private:
  struct Slot {
    double start;
    double end;
    int32_t index;
  };

  struct Octave {
    double width;  // of a cell; segments are shorter than two of them
    int64_t first_cell;
    int64_t cells;
  };

  static constexpr double kFar = std::numeric_limits<double>::infinity();

  static bool is_removed(const Slot& slot) { return slot.start == kFar; }

  static void remove(Slot& slot) {
    slot.start = kFar;
    slot.end = -kFar;
  }

  template <typename T>
  void measure(const T* segments, int64_t count, bool binned) {
    double first = kFar;
    double last = -kFar;
    double longest = 0.0;
    for (int64_t i = 0; i < count; ++i) {
      const double start = static_cast<double>(segments[2 * i]);
      const double end = static_cast<double>(segments[2 * i + 1]);
      first = std::min(first, start);
      last = std::max(last, end);
      longest = std::max(longest, end - start);
    }
    octaves_.clear();
    origin_ = count > 0 ? first : 0.0;
    const double span = last - first;
    // About as many cells as segments in the finest octave.
    const double width = span / static_cast<double>(std::max<int64_t>(1, count));
    everything_ = !binned || !(width > 0.0) || !std::isnormal(width) || !std::isfinite(span);
    cells_ = 0;
    if (everything_) {
      octaves_.push_back(Octave{1.0, 0, 1});
      cells_ = 1;
      return;
    }
    finest_ = width;
    for (double w = width;; w *= 2.0) {
      const int64_t cells = static_cast<int64_t>(span / w) + 1;
      octaves_.push_back(Octave{w, cells_, cells});
      cells_ += cells;
      if (longest < 2.0 * w) return;
    }
  }

  int32_t find_cell(double start, double end) const {
    if (everything_) return 0;
    const double ratio = (end - start) / finest_;
    const int octave =
        ratio < 2.0 ? 0 : std::min<int>(std::ilogb(ratio), static_cast<int>(octaves_.size()) - 1);
    const Octave& own = octaves_[octave];
    return static_cast<int32_t>(own.first_cell +
                                clamp_cell((start - origin_) / own.width, own.cells));
  }

  static int64_t clamp_cell(double cell, int64_t cells) {
    if (!(cell > 0.0)) return 0;
    return cell < static_cast<double>(cells) ? static_cast<int64_t>(cell) : cells - 1;
  }

  std::vector<Octave> octaves_;
  std::vector<int32_t> first_;    // (cells + 1,) first slot of each cell
  std::vector<int32_t> next_;     // while building
  std::vector<int32_t> cell_of_;  // of each segment
  std::vector<int32_t> slot_of_;  // of each segment
  std::vector<Slot> slots_;
  double origin_ = 0.0;
  double finest_ = 1.0;
  int64_t cells_ = 0;
  bool everything_ = false;
};

}  // namespace gaufuse
