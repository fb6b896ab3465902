// The operations as Python functions of keywords: addresses and sizes in, a call of the core
// without the GIL, errors out. Torch is not known here: gaufuse_ext/ops validates tensors,
// allocates outputs and passes addresses.
#include <pybind11/pybind11.h>

#include <cstdint>

#include "bindings/by_name.h"
#include "bindings/evaluation.h"
#include "bindings/functions.h"
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
  int threads;   // CPU
  void* stream;  // CUDA
  GAUFUSE_FIELDS(cuda, float64, threads, stream)
};

// operation_cpu, and operation_cuda in a build that has it, for one type of scalars.
template <typename Params>
struct Kernels {
  Status (*cpu)(const Params&, int threads);
  Status (*cuda)(const Params&, void* stream);  // null: built without CUDA
};

#ifdef GAUFUSE_WITH_CUDA
#define GAUFUSE_KERNELS(operation, T) {operation##_cpu<T>, operation##_cuda<T>}
#else
#define GAUFUSE_KERNELS(operation, T) {operation##_cpu<T>, nullptr}
#endif

#define GAUFUSE_OPERATION(operation, ParamsOf)      \
  struct operation##_operation {                    \
    static constexpr const char* name = #operation; \
    template <typename T>                           \
    using Params = ParamsOf<T>;                     \
    template <typename T>                           \
    static constexpr Kernels<Params<T>> kernels() { \
      return GAUFUSE_KERNELS(operation, T);         \
    }                                               \
  }

GAUFUSE_OPERATION(threshold_proposals, ThresholdProposalsParams);
GAUFUSE_OPERATION(count_proposals, ThresholdProposalsParams);
GAUFUSE_OPERATION(fuse_segments, FuseSegmentsParams);
GAUFUSE_OPERATION(interval_membership, IntervalMembershipParams);
GAUFUSE_OPERATION(linpro_labels, LinproLabelsParams);
GAUFUSE_OPERATION(nms, NmsParams);
GAUFUSE_OPERATION(segment_iou, SegmentIouParams);
GAUFUSE_OPERATION(soft_nms, SoftNmsParams);
GAUFUSE_OPERATION(segment_voting, SegmentVotingParams);
GAUFUSE_OPERATION(weighted_segments_fusion, WeightedSegmentsFusionParams);

// How much workspace the CUDA kernels want of the caller, if any.
struct proposals_workspace {  // in 32-bit words
  int64_t groups;
  int64_t num_snippets;
  int64_t num_thresholds;
  GAUFUSE_FIELDS(groups, num_snippets, num_thresholds)

  static constexpr const char* name = "proposals_workspace";
  static constexpr const char* result = "int";
  PyObject* find() const {
    return PyLong_FromLongLong(proposals_workspace_words(groups, num_snippets, num_thresholds));
  }
};

struct greedy_workspace {  // in doubles
  int64_t groups;
  int64_t capacity;
  GAUFUSE_FIELDS(groups, capacity)

  static constexpr const char* name = "greedy_workspace";
  static constexpr const char* result = "int";
  PyObject* find() const {
    return PyLong_FromLongLong(2 * greedy_workspace_segments(groups, capacity));
  }
};

struct weighted_workspace {  // in doubles
  int64_t groups;
  int64_t capacity;
  GAUFUSE_FIELDS(groups, capacity)

  static constexpr const char* name = "weighted_workspace";
  static constexpr const char* result = "int";
  PyObject* find() const {
    return PyLong_FromLongLong(kWeightedWords * weighted_workspace_segments(groups, capacity));
  }
};

struct linpro_workspace {  // workers, and bytes of each
  int64_t groups;
  int64_t capacity;
  Membership rows;
  bool with_variation;
  GAUFUSE_FIELDS(groups, capacity, rows, with_variation)

  static constexpr const char* name = "plan_linpro_workspace";
  static constexpr const char* result = "tuple[int, int]";
  PyObject* find() const {
    const LinproWorkspace plan = plan_linpro_workspace(groups, capacity, rows, with_variation);
    return Py_BuildValue("LL", static_cast<long long>(plan.workers),
                         static_cast<long long>(plan.worker_bytes));
  }
};

template <typename Params>
Status launch(const Kernels<Params>& kernels, const Launch& where, const Params& params) {
  if (!where.cuda) return kernels.cpu(params, where.threads);
  if (kernels.cuda != nullptr) return kernels.cuda(params, where.stream);
  return make_status(Code::cuda_error,
                     "this gaufuse_ext was built without CUDA and cannot work on CUDA tensors; "
                     "install it again with nvcc on the PATH and GAUFUSE_CUDA=ON");
}

template <typename Operation, typename T>
PyObject* run_in(const Signature& signature, PyObject* const* values, const Launch& where) {
  typename Operation::template Params<T> params{};
  size_t at = 0;
  if (!read_fields(signature, values, at, params)) return nullptr;
  return run_without_gil([&] { return launch(Operation::template kernels<T>(), where, params); });
}

// What Python calls: the operation's parameters, then where to run.
template <typename Named>
struct Operation : Named {
  static constexpr const char* result = "None";

  static void add_arguments_to(Signature& signature) {
    add_arguments<typename Named::template Params<float>>(signature);
    add_arguments<Launch>(signature);
  }

  static PyObject* call(const Signature& signature, PyObject* const* values) {
    Launch where{};
    size_t at = signature.arguments.size() - std::tuple_size_v<decltype(where.fields())>;
    if (!read_fields(signature, values, at, where)) return nullptr;
    if (where.float64) return run_in<Named, double>(signature, values, where);
    return run_in<Named, float>(signature, values, where);
  }
};

template <typename Sizes>
struct Workspace : Sizes {
  static void add_arguments_to(Signature& signature) { add_arguments<Sizes>(signature); }

  static PyObject* call(const Signature& signature, PyObject* const* values) {
    Sizes sizes{};
    size_t at = 0;
    return read_fields(signature, values, at, sizes) ? sizes.find() : nullptr;
  }
};

}  // namespace
}  // namespace gaufuse

PYBIND11_MODULE(_native, module) {
  using namespace gaufuse;
  module.doc() = "Kernels of gaufuse_ext. Use gaufuse_ext, which checks what these do not.";

  Functions functions(module);
  functions.add<Operation<threshold_proposals_operation>>();
  functions.add<Operation<count_proposals_operation>>();
  functions.add<Operation<fuse_segments_operation>>();
  functions.add<Operation<interval_membership_operation>>();
  functions.add<Operation<linpro_labels_operation>>();
  functions.add<Operation<nms_operation>>();
  functions.add<Operation<segment_iou_operation>>();
  functions.add<Operation<soft_nms_operation>>();
  functions.add<Operation<segment_voting_operation>>();
  functions.add<Operation<weighted_segments_fusion_operation>>();
  functions.add<Workspace<proposals_workspace>>();
  functions.add<Workspace<greedy_workspace>>();
  functions.add<Workspace<weighted_workspace>>();
  functions.add<Workspace<linpro_workspace>>();
  bind_evaluation(module, functions);

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
