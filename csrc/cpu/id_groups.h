// Items by the id that each has (of a class, of a video), within an id by index: a counting sort.
#pragma once

#include <cstdint>
#include <vector>

#include "gaufuse/status.h"

namespace gaufuse {

struct IdGroups {
  std::vector<int64_t> offsets;  // (num_ids + 1): where each id's items begin
  std::vector<int32_t> items;    // those of id -1 are in no group

  int64_t count(int64_t id) const { return offsets[id + 1] - offsets[id]; }
  const int32_t* begin(int64_t id) const { return items.data() + offsets[id]; }
};

inline IdGroups group_by_id(const int32_t* ids, int64_t size, int64_t num_ids) {
  IdGroups groups;
  groups.offsets.assign(num_ids + 2, 0);  // one place further on, where the scatter counts
  for (int64_t i = 0; i < size; ++i)
    if (ids[i] >= 0) ++groups.offsets[ids[i] + 2];
  for (int64_t id = 0; id < num_ids; ++id) groups.offsets[id + 2] += groups.offsets[id + 1];
  groups.items.resize(groups.offsets[num_ids + 1]);
  for (int64_t i = 0; i < size; ++i)
    if (ids[i] >= 0) groups.items[groups.offsets[ids[i] + 1]++] = static_cast<int32_t>(i);
  groups.offsets.pop_back();
  return groups;
}

inline std::vector<int64_t> counts_of(const IdGroups& groups) {
  std::vector<int64_t> counts(groups.offsets.size() - 1);
  for (size_t id = 0; id < counts.size(); ++id) counts[id] = groups.count(id);
  return counts;
}

// No id leads outside an array, whatever the caller passed.
inline Status check_ids(const char* name, const int32_t* ids, int64_t size, int64_t least,
                        int64_t num_ids) {
  for (int64_t i = 0; i < size; ++i)
    if (ids[i] < least || ids[i] >= num_ids)
      return make_status(Code::invalid_argument, "%s[%lld] must lie in [%lld, %lld), got %d", name,
                         static_cast<long long>(i), static_cast<long long>(least),
                         static_cast<long long>(num_ids), ids[i]);
  return Status();
}

}  // namespace gaufuse
