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
#include <cstring>
#include <limits>
#include <vector>

#include "gaufuse/segment_overlap.h"

namespace gaufuse {

class SegmentIndex {
 public:
  // Builds the index of (count, 2) segments; `binned` false puts all of them into one cell.
  template <typename T>
  void build(const T* segments, int64_t count, bool binned) {
    choose_cells(segments, count, binned);
    places_.resize(count);
    first_.assign(cells_ + 2, 0);
    for (int64_t i = 0; i < count; ++i) {
      places_[i] = place(load_segment(segments, i));
      ++octaves_[places_[i].octave].left;
      ++first_[places_[i].cell + 2];
    }
    // first_ is filled one place ahead, so that counting up while placing leaves it right.
    for (int64_t cell = 0; cell < cells_; ++cell) first_[cell + 2] += first_[cell + 1];
    slots_.resize(count);
    for (int64_t i = 0; i < count; ++i) {
      places_[i].slot = first_[places_[i].cell + 1]++;
      slots_[places_[i].slot] = Slot{load_segment(segments, i), static_cast<int32_t>(i)};
    }
  }

  bool alive(int32_t index) const { return !removed(slots_[places_[index].slot]); }

  Segment segment(int32_t index) const { return slots_[places_[index].slot].segment; }

  void remove(int32_t index) {
    remove(slots_[places_[index].slot]);
    --octaves_[places_[index].octave].left;
  }

  // Calls take(index, segment) for every segment left that comes within `reach` of the window, and
  // maybe for others; removes those for which it returns true. Order: by octave, then by cell.
  template <typename Take>
  void sweep(Segment window, double reach, Take take) {
    // No segment left starts at kFar, which removed ones do.
    const double low = everything_ ? -kFar : window.start - reach;
    const double high = everything_ ? std::numeric_limits<double>::max() : window.end + reach;
    for (Octave& octave : octaves_) {
      if (octave.left == 0) continue;
      // Segments are shorter than two cells; one cell to spare on each side makes up for rounding.
      const int64_t begin = cell_at((low - origin_) * octave.per_width - 3.0, octave);
      const int64_t end = cell_at((high - origin_) * octave.per_width + 1.0, octave) + 1;
      Slot* const stop = slots_.data() + first_[end];
      for (Slot* slot = slots_.data() + first_[begin]; slot != stop; ++slot) {
        const Segment segment = slot->segment;
        const bool near = (segment.start <= high) & (segment.end >= low);
        if (!near) continue;
        if (!take(slot->index, segment)) continue;
        remove(*slot);
        --octave.left;
      }
    }
  }

 private:
  struct Slot {
    Segment segment;  // past everything, once removed: a search passes over it
    int32_t index;
  };

  struct Place {
    int32_t cell;
    int32_t slot;
    int32_t octave;
  };

  struct Octave {
    double per_width;  // cells per unit of time
    int64_t first_cell;
    int64_t cells;
    int64_t left;  // segments not removed
  };

  static constexpr double kFar = std::numeric_limits<double>::infinity();

  static bool removed(const Slot& slot) { return slot.segment.start == kFar; }

  static void remove(Slot& slot) { slot.segment = Segment{kFar, -kFar}; }

  template <typename T>
  void choose_cells(const T* segments, int64_t count, bool binned) {
    double first = kFar;
    double last = -kFar;
    double longest = 0.0;
    for (int64_t i = 0; i < count; ++i) {
      const Segment segment = load_segment(segments, i);
      first = std::min(first, segment.start);
      last = std::max(last, segment.end);
      longest = std::max(longest, segment.end - segment.start);
    }
    octaves_.clear();
    cells_ = 0;
    // About as many cells as segments in the finest octave.
    const double width = (last - first) / static_cast<double>(std::max<int64_t>(1, count));
    everything_ = !binned || !(width > 0.0) || !std::isnormal(width);
    origin_ = everything_ ? 0.0 : first;
    per_finest_ = everything_ ? 0.0 : 1.0 / width;
    const int octaves = everything_ ? 1 : octave_of(longest) + 1;
    double per_width = per_finest_;
    for (int octave = 0; octave < octaves; ++octave, per_width *= 0.5) {
      const int64_t cells = everything_ ? 1 : static_cast<int64_t>((last - first) * per_width) + 1;
      octaves_.push_back(Octave{per_width, cells_, cells, 0});
      cells_ += cells;
    }
  }

  Place place(Segment segment) const {
    if (everything_) return Place{0, 0, 0};
    const int octave = octave_of(segment.end - segment.start);
    const Octave& own = octaves_[octave];
    const int64_t cell = cell_at((segment.start - origin_) * own.per_width, own);
    return Place{static_cast<int32_t>(cell), 0, octave};
  }

  // Octave k holds lengths from 2^k up to 2^(k + 1) finest cells; the first also what is shorter.
  int octave_of(double length) const {
    const double cells = length * per_finest_;
    if (cells < 2.0) return 0;
    uint64_t bits;  // the exponent of a number above one is its octave
    std::memcpy(&bits, &cells, sizeof(bits));
    return static_cast<int>(bits >> 52) - 1023;
  }

  static int64_t cell_at(double position, const Octave& octave) {
    if (!(position > 0.0)) return octave.first_cell;
    const bool inside = position < static_cast<double>(octave.cells);
    return octave.first_cell + (inside ? static_cast<int64_t>(position) : octave.cells - 1);
  }

  std::vector<Octave> octaves_;
  std::vector<int32_t> first_;  // (cells + 2,) first slot of each cell
  std::vector<Place> places_;   // of each segment
  std::vector<Slot> slots_;     // by cell
  double origin_ = 0.0;
  double per_finest_ = 0.0;  // finest cells per unit of time
  int64_t cells_ = 0;
  bool everything_ = false;
};

}  // namespace gaufuse
