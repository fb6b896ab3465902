# The native core, which is what csrc/cpu computes: its sources and how they are compiled.

set(gaufuse_operations threshold_proposals fuse_segments interval_membership linpro_labels nms
    segment_iou soft_nms segment_voting weighted_segments_fusion)

# On the CPU alone: they work on flat arrays of a whole data set.
set(gaufuse_evaluation match_detections average_precision bootstrap_precision repeated_detections
    first_proposals read_detections json_scanner)

list(TRANSFORM gaufuse_operations PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/csrc/cpu/
     OUTPUT_VARIABLE gaufuse_cpu_sources)
list(TRANSFORM gaufuse_cpu_sources APPEND .cpp)
foreach(shared parallel check_values compare_bits ${gaufuse_evaluation})
  list(APPEND gaufuse_cpu_sources ${CMAKE_CURRENT_SOURCE_DIR}/csrc/cpu/${shared}.cpp)
endforeach()
list(TRANSFORM gaufuse_operations PREPEND csrc/cuda/ OUTPUT_VARIABLE gaufuse_cuda_sources)
list(TRANSFORM gaufuse_cuda_sources APPEND .cu)

# No contraction: the CPU kernels, the CUDA kernels and the references must round alike where they
# decide (overlap > threshold). No traps: nobody reads the floating-point flags, and g++ would leave
# loops with comparisons scalar for their sake (results are the same).
set(gaufuse_compile_options -Wall -Wextra -ffp-contract=off -fno-trapping-math)
