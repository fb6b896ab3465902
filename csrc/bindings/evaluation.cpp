// Evaluation: addresses of flat NumPy arrays and sizes in, checked in gaufuse_ext/evaluation; and
// the reader of detections.
#include "bindings/evaluation.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bindings/by_name.h"
#include "bindings/functions.h"
#include "gaufuse/average_precision.h"
#include "gaufuse/bootstrap_precision.h"
#include "gaufuse/first_proposals.h"
#include "gaufuse/match_detections.h"
#include "gaufuse/read_detections.h"
#include "gaufuse/repeated_detections.h"

namespace py = pybind11;

namespace gaufuse {
namespace {

struct Threads {
  int threads;
  GAUFUSE_FIELDS(threads)
};

#define GAUFUSE_FLAT_OPERATION(operation, ParamsOf)        \
  struct operation##_operation {                           \
    static constexpr const char* name = #operation;        \
    using Params = ParamsOf;                               \
    static Status run(const Params& params, int threads) { \
      return operation##_cpu(params, threads);             \
    }                                                      \
  }

GAUFUSE_FLAT_OPERATION(match_detections, MatchDetectionsParams);
GAUFUSE_FLAT_OPERATION(average_precision, AveragePrecisionParams);
GAUFUSE_FLAT_OPERATION(bootstrap_precision, BootstrapPrecisionParams);
GAUFUSE_FLAT_OPERATION(repeated_detections, RepeatedDetectionsParams);
GAUFUSE_FLAT_OPERATION(first_proposals, FirstProposalsParams);

// What Python calls: the operation's parameters, then the threads.
template <typename Named>
struct FlatOperation : Named {
  static constexpr const char* result = "None";

  static void add_arguments_to(Signature& signature) {
    add_arguments<typename Named::Params>(signature);
    add_arguments<Threads>(signature);
  }

  static PyObject* call(const Signature& signature, PyObject* const* values) {
    typename Named::Params params{};
    Threads where{};
    size_t at = 0;
    if (!read_fields(signature, values, at, params)) return nullptr;
    if (!read_fields(signature, values, at, where)) return nullptr;
    return run_without_gil([&] { return Named::run(params, where.threads); });
  }
};

// What read_detections found, or None where it gave up.
std::unique_ptr<ReadDetections> read_detections_of(const py::bytes& data, bool labelled) {
  char* text = nullptr;
  Py_ssize_t size = 0;
  if (PyBytes_AsStringAndSize(data.ptr(), &text, &size) != 0) throw py::error_already_set();
  auto found = std::make_unique<ReadDetections>();
  py::gil_scoped_release release;
  if (!read_detections(text, static_cast<size_t>(size), labelled, *found)) found.reset();
  return found;
}

py::list names_of(const std::vector<std::string>& names) {
  py::list list;
  for (const std::string& name : names) list.append(py::str(name));
  return list;
}

template <typename T>
void copy(const std::vector<T>& values, uintptr_t target) {
  std::copy(values.begin(), values.end(), reinterpret_cast<T*>(target));
}

}  // namespace

void bind_evaluation(py::module_& module, Functions& functions) {
  functions.add<FlatOperation<match_detections_operation>>();
  functions.add<FlatOperation<average_precision_operation>>();
  functions.add<FlatOperation<bootstrap_precision_operation>>();
  functions.add<FlatOperation<repeated_detections_operation>>();
  functions.add<FlatOperation<first_proposals_operation>>();

  using py::arg;
  py::class_<ReadDetections>(module, "ReadDetections", "See csrc/gaufuse/read_detections.h.")
      .def_property_readonly("videos",
                             [](const ReadDetections& found) { return names_of(found.videos); })
      .def_property_readonly("classes",
                             [](const ReadDetections& found) { return names_of(found.classes); })
      .def("__len__", [](const ReadDetections& found) { return found.scores.size(); })
      .def(
          "copy_to",
          [](const ReadDetections& found, uintptr_t segments, uintptr_t scores, uintptr_t video_ids,
             uintptr_t class_ids) {
            copy(found.segments, segments);
            copy(found.scores, scores);
            copy(found.video_ids, video_ids);
            copy(found.class_ids, class_ids);
          },
          py::kw_only(), arg("segments"), arg("scores"), arg("video_ids"), arg("class_ids"));
  module.def("read_detections", &read_detections_of, py::kw_only(), arg("data"), arg("labelled"));
}

}  // namespace gaufuse
