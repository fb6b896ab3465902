// pybind11 only: addresses and sizes in, a call of the core without the GIL, errors out. Torch is
// not known here: gaufuse_ext/ops validates tensors, allocates outputs and passes addresses.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "gaufuse/fuse_segments.h"
#include "gaufuse/groups.h"
#include "gaufuse/interval_membership.h"
#include "gaufuse/linpro_arenas.h"
#include "gaufuse/linpro_labels.h"
#include "gaufuse/nms.h"
#include "gaufuse/segment_iou.h"
#include "gaufuse/segment_voting.h"
#include "gaufuse/soft_nms.h"
#include "gaufuse/status.h"
#include "gaufuse/threshold_proposals.h"
#include "gaufuse/weighted_segments_fusion.h"

namespace py = pybind11;

namespace gaufuse {
namespace {

// Where a call runs.
struct Launch {
  bool cuda;
  bool float64;
  int threads;       // CPU
  uintptr_t stream;  // CUDA
};

template <typename T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

void raise_if_bad(const Status& status) {
  if (status.ok()) return;
  const std::string message(status.message);
  if (status.code == Code::invalid_argument) throw py::value_error(message);
  if (status.code == Code::out_of_memory) {
    PyErr_SetString(PyExc_MemoryError, message.c_str());
    throw py::error_already_set();
  }
  throw std::runtime_error(message);
}

#ifndef GAUFUSE_WITH_CUDA
Status without_cuda() {
  return make_status(Code::cuda_error,
                     "this gaufuse_ext was built without CUDA and cannot work on CUDA tensors; "
                     "install it again with nvcc on the PATH and GAUFUSE_CUDA=ON");
}
#endif

// Calls cpu(params, threads) or cuda(params, stream) without the GIL.
template <typename Params, typename Cpu, typename Cuda>
void call(const Launch& launch, const Params& params, Cpu cpu, [[maybe_unused]] Cuda cuda) {
  Status status;
  {
    py::gil_scoped_release release;
    if (!launch.cuda)
      status = cpu(params, launch.threads);
    else
#ifdef GAUFUSE_WITH_CUDA
      status = cuda(params, pointer<void>(launch.stream));
#else
      status = without_cuda();
#endif
  }
  raise_if_bad(status);
}

#ifdef GAUFUSE_WITH_CUDA
#define GAUFUSE_CALL(operation, launch, params) \
  call(launch, params, operation##_cpu<T>, operation##_cuda<T>)
#else
#define GAUFUSE_CALL(operation, launch, params) call(launch, params, operation##_cpu<T>, nullptr)
#endif

// Calls function(T()) with the launch's scalar type.
template <typename Function>
void with_scalar(const Launch& launch, Function function) {
  if (launch.float64)
    function(double());
  else
    function(float());
}

void threshold_proposals(const Launch& launch, uintptr_t cas, uintptr_t thresholds,
                         uintptr_t lengths, uintptr_t segments, uintptr_t scores, uintptr_t weights,
                         uintptr_t counts, uintptr_t workspace, int64_t groups,
                         int64_t num_snippets, int64_t num_thresholds, int64_t capacity,
                         int64_t min_length, double margin, double margin_power,
                         bool thresholds_per_group) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    ThresholdProposalsParams<T> params{};
    params.cas = pointer<T>(cas);
    params.thresholds = pointer<double>(thresholds);
    params.lengths = pointer<int64_t>(lengths);
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.weights = pointer<T>(weights);
    params.counts = pointer<int64_t>(counts);
    params.workspace = pointer<int32_t>(workspace);
    params.groups = groups;
    params.num_snippets = num_snippets;
    params.num_thresholds = num_thresholds;
    params.capacity = capacity;
    params.min_length = min_length;
    params.margin = margin;
    params.margin_power = margin_power;
    params.thresholds_per_group = thresholds_per_group;
    GAUFUSE_CALL(threshold_proposals, launch, params);
  });
}

void count_proposals(const Launch& launch, uintptr_t cas, uintptr_t thresholds, uintptr_t lengths,
                     uintptr_t counts, uintptr_t workspace, int64_t groups, int64_t num_snippets,
                     int64_t num_thresholds, int64_t min_length, bool thresholds_per_group) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    ThresholdProposalsParams<T> params{};
    params.cas = pointer<T>(cas);
    params.thresholds = pointer<double>(thresholds);
    params.lengths = pointer<int64_t>(lengths);
    params.counts = pointer<int64_t>(counts);
    params.groups = groups;
    params.num_snippets = num_snippets;
    params.num_thresholds = num_thresholds;
    params.min_length = min_length;
    params.thresholds_per_group = thresholds_per_group;
    params.workspace = pointer<int32_t>(workspace);
    GAUFUSE_CALL(count_proposals, launch, params);
  });
}

void fuse_segments(const Launch& launch, uintptr_t segments, uintptr_t scores, uintptr_t weights,
                   uintptr_t counts, uintptr_t fused_segments, uintptr_t fused_scores,
                   uintptr_t fused_counts, uintptr_t assignment, uintptr_t shares,
                   uintptr_t workspace, int64_t groups, int64_t capacity, double temperature,
                   double threshold, double length_offset, int overlap) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    FuseSegmentsParams<T> params{};
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.weights = pointer<T>(weights);
    params.counts = pointer<int64_t>(counts);
    params.fused_segments = pointer<T>(fused_segments);
    params.fused_scores = pointer<T>(fused_scores);
    params.fused_counts = pointer<int64_t>(fused_counts);
    params.assignment = pointer<int64_t>(assignment);
    params.shares = pointer<T>(shares);
    params.workspace = pointer<double>(workspace);
    params.groups = groups;
    params.capacity = capacity;
    params.temperature = temperature;
    params.threshold = threshold;
    params.length_offset = length_offset;
    params.overlap = static_cast<Overlap>(overlap);
    GAUFUSE_CALL(fuse_segments, launch, params);
  });
}

void interval_membership(const Launch& launch, uintptr_t segments, uintptr_t counts,
                         uintptr_t lengths, uintptr_t matrix, int64_t groups, int64_t capacity,
                         int64_t num_snippets, double margin, double margin_power, int mode) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    IntervalMembershipParams<T> params{};
    params.segments = pointer<T>(segments);
    params.counts = pointer<int64_t>(counts);
    params.lengths = pointer<int64_t>(lengths);
    params.matrix = pointer<T>(matrix);
    params.groups = groups;
    params.capacity = capacity;
    params.num_snippets = num_snippets;
    params.margin = margin;
    params.margin_power = margin_power;
    params.mode = static_cast<Membership>(mode);
    GAUFUSE_CALL(interval_membership, launch, params);
  });
}

void linpro_labels(const Launch& launch, uintptr_t segments, uintptr_t scores, uintptr_t weights,
                   uintptr_t counts, uintptr_t lengths, uintptr_t labels, uintptr_t objective,
                   uintptr_t residual, uintptr_t gap, uintptr_t pivots, uintptr_t status,
                   uintptr_t workspace, int64_t workers, int64_t worker_bytes, int64_t groups,
                   int64_t capacity, int64_t num_snippets, double margin, double margin_power,
                   double confidence, double uniformity, double anchor, double variation,
                   double sparsity, bool per_snippet, bool hard, int rows, bool all_instances) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    LinproLabelsParams<T> params{};
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.weights = pointer<T>(weights);
    params.counts = pointer<int64_t>(counts);
    params.lengths = pointer<int64_t>(lengths);
    params.labels = pointer<T>(labels);
    params.objective = pointer<double>(objective);
    params.residual = pointer<double>(residual);
    params.gap = pointer<double>(gap);
    params.pivots = pointer<int64_t>(pivots);
    params.status = pointer<int64_t>(status);
    params.groups = groups;
    params.capacity = capacity;
    params.num_snippets = num_snippets;
    params.margin = margin;
    params.margin_power = margin_power;
    params.terms = LinproTerms{confidence,   uniformity,  anchor, variation,
                               sparsity,     per_snippet, hard,   static_cast<Membership>(rows),
                               all_instances};
    params.workspace = pointer<char>(workspace);
    params.workers = workers;
    params.worker_bytes = worker_bytes;
    GAUFUSE_CALL(linpro_labels, launch, params);
  });
}

void nms(const Launch& launch, uintptr_t segments, uintptr_t scores, uintptr_t counts,
         uintptr_t keep, uintptr_t workspace, int64_t groups, int64_t capacity,
         double iou_threshold, double length_epsilon) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    NmsParams<T> params{};
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.counts = pointer<int64_t>(counts);
    params.keep = pointer<int64_t>(keep);
    params.workspace = pointer<double>(workspace);
    params.groups = groups;
    params.capacity = capacity;
    params.iou_threshold = iou_threshold;
    params.length_epsilon = length_epsilon;
    GAUFUSE_CALL(nms, launch, params);
  });
}

void segment_iou(const Launch& launch, uintptr_t a, uintptr_t b, uintptr_t iou, int64_t groups,
                 int64_t num_a, int64_t num_b) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    SegmentIouParams<T> params{};
    params.a = pointer<T>(a);
    params.b = pointer<T>(b);
    params.iou = pointer<T>(iou);
    params.groups = groups;
    params.num_a = num_a;
    params.num_b = num_b;
    GAUFUSE_CALL(segment_iou, launch, params);
  });
}

void soft_nms(const Launch& launch, uintptr_t segments, uintptr_t scores, uintptr_t counts,
              uintptr_t keep, uintptr_t kept_scores, uintptr_t kept_counts, uintptr_t workspace,
              int64_t groups, int64_t capacity, int64_t max_output, double sigma,
              double iou_threshold, double threshold_growth, double length_epsilon,
              double min_score, int decay) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    SoftNmsParams<T> params{};
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.counts = pointer<int64_t>(counts);
    params.keep = pointer<int64_t>(keep);
    params.kept_scores = pointer<T>(kept_scores);
    params.kept_counts = pointer<int64_t>(kept_counts);
    params.workspace = pointer<double>(workspace);
    params.groups = groups;
    params.capacity = capacity;
    params.max_output = max_output;
    params.sigma = sigma;
    params.iou_threshold = iou_threshold;
    params.threshold_growth = threshold_growth;
    params.length_epsilon = length_epsilon;
    params.min_score = min_score;
    params.decay = static_cast<Decay>(decay);
    GAUFUSE_CALL(soft_nms, launch, params);
  });
}

void segment_voting(const Launch& launch, uintptr_t kept, uintptr_t segments, uintptr_t scores,
                    uintptr_t kept_counts, uintptr_t counts, uintptr_t refined, int64_t groups,
                    int64_t num_kept, int64_t capacity, double iou_threshold, bool weights_by_iou) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    SegmentVotingParams<T> params{};
    params.kept = pointer<T>(kept);
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.kept_counts = pointer<int64_t>(kept_counts);
    params.counts = pointer<int64_t>(counts);
    params.refined = pointer<T>(refined);
    params.groups = groups;
    params.num_kept = num_kept;
    params.capacity = capacity;
    params.iou_threshold = iou_threshold;
    params.weights_by_iou = weights_by_iou;
    GAUFUSE_CALL(segment_voting, launch, params);
  });
}

void weighted_segments_fusion(const Launch& launch, uintptr_t segments, uintptr_t scores,
                              uintptr_t counts, uintptr_t fused_segments, uintptr_t fused_scores,
                              uintptr_t fused_counts, uintptr_t assignment, uintptr_t workspace,
                              int64_t groups, int64_t capacity, double iou_threshold,
                              double skip_below, int64_t num_models, int confidence,
                              bool allows_overflow) {
  with_scalar(launch, [&](auto scalar) {
    using T = decltype(scalar);
    WeightedSegmentsFusionParams<T> params{};
    params.segments = pointer<T>(segments);
    params.scores = pointer<T>(scores);
    params.counts = pointer<int64_t>(counts);
    params.fused_segments = pointer<T>(fused_segments);
    params.fused_scores = pointer<T>(fused_scores);
    params.fused_counts = pointer<int64_t>(fused_counts);
    params.assignment = pointer<int64_t>(assignment);
    params.workspace = pointer<double>(workspace);
    params.groups = groups;
    params.capacity = capacity;
    params.iou_threshold = iou_threshold;
    params.skip_below = skip_below;
    params.num_models = static_cast<double>(num_models);
    params.confidence = static_cast<Confidence>(confidence);
    params.allows_overflow = allows_overflow;
    GAUFUSE_CALL(weighted_segments_fusion, launch, params);
  });
}

}  // namespace
}  // namespace gaufuse

PYBIND11_MODULE(_native, module) {
  using namespace gaufuse;
  module.doc() = "Kernels of gaufuse_ext. Use gaufuse_ext, which checks what these do not.";

  py::class_<Launch>(module, "Launch", "Where a call runs: device, dtype, threads, stream.")
      .def(py::init([](bool cuda, bool float64, int threads, uintptr_t stream) {
             return Launch{cuda, float64, threads, stream};
           }),
           py::arg("cuda"), py::arg("float64"), py::arg("threads"), py::arg("stream"));

  module.def("threshold_proposals", &threshold_proposals);
  module.def("proposals_workspace", &proposals_workspace_words);
  module.def("count_proposals", &count_proposals);
  module.def("fuse_segments", &fuse_segments);
  module.def("interval_membership", &interval_membership);
  module.def("linpro_labels", &linpro_labels);
  module.def(
      "plan_linpro_workspace", [](int64_t groups, int64_t capacity, int rows, bool with_variation) {
        const LinproWorkspace plan =
            plan_linpro_workspace(groups, capacity, static_cast<Membership>(rows), with_variation);
        return py::make_tuple(plan.workers, plan.worker_bytes);
      });
  module.def("nms", &nms);
  module.def("segment_iou", &segment_iou);
  module.def("soft_nms", &soft_nms);
  module.def("segment_voting", &segment_voting);
  module.def("weighted_segments_fusion", &weighted_segments_fusion);

  module.def("greedy_workspace", [](int64_t groups, int64_t capacity) {
    return 2 * greedy_workspace_segments(groups, capacity);
  });
  module.def("weighted_workspace", [](int64_t groups, int64_t capacity) {
    return kWeightedWords * weighted_workspace_segments(groups, capacity);
  });

  module.attr("version") = GAUFUSE_VERSION;
  module.attr("compiler") = GAUFUSE_COMPILER;
#ifdef GAUFUSE_WITH_CUDA
  module.attr("cuda") = true;
  module.attr("cuda_version") = GAUFUSE_CUDA_VERSION;
  module.attr("cuda_architectures") = GAUFUSE_CUDA_ARCHITECTURES;
#else
  module.attr("cuda") = false;
  module.attr("cuda_version") = py::none();
  module.attr("cuda_architectures") = "";
#endif
}
