# Finds nvcc, chooses architectures and sets GAUFUSE_WITH_CUDA.
#
# TORCH_CUDA_ARCH_LIST ("8.0 9.0+PTX") is honoured, as users of torch extensions expect. Otherwise:
# machine code for every architecture that this nvcc knows and torch supports, and PTX for the
# newest, so that a GPU of tomorrow runs too.

set(GAUFUSE_WITH_CUDA OFF)

function(gaufuse_architectures_from_torch result)
  string(REPLACE " " ";" entries "$ENV{TORCH_CUDA_ARCH_LIST}")
  set(architectures "")
  foreach(entry IN LISTS entries)
    if(NOT entry MATCHES "^([0-9]+)\\.([0-9]+)(a?)(\\+PTX)?$")
      message(FATAL_ERROR "TORCH_CUDA_ARCH_LIST: cannot read '${entry}'; write it like \"8.0 9.0+PTX\"")
    endif()
    set(number "${CMAKE_MATCH_1}${CMAKE_MATCH_2}${CMAKE_MATCH_3}")
    if(CMAKE_MATCH_4)
      list(APPEND architectures "${number}")
    else()
      list(APPEND architectures "${number}-real")
    endif()
  endforeach()
  set(${result} "${architectures}" PARENT_SCOPE)
endfunction()

function(gaufuse_default_architectures compiler result)
  execute_process(COMMAND ${compiler} --version OUTPUT_VARIABLE text)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" _ "${text}")
  set(version "${CMAKE_MATCH_1}")
  if(version VERSION_GREATER_EQUAL 13.0)
    set(architectures 75-real 80-real 86-real 89-real 90-real 100-real 120)
  elseif(version VERSION_GREATER_EQUAL 12.8)
    set(architectures 70-real 75-real 80-real 86-real 89-real 90-real 100-real 120)
  else()
    set(architectures 70-real 75-real 80-real 86-real 89-real 90)
  endif()
  set(${result} "${architectures}" PARENT_SCOPE)
endfunction()

if(NOT GAUFUSE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  if(DEFINED CMAKE_CUDA_COMPILER)
    set(gaufuse_nvcc "${CMAKE_CUDA_COMPILER}")
  else()
    find_program(gaufuse_nvcc nvcc HINTS ENV CUDACXX PATHS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  endif()
  if(gaufuse_nvcc)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      if(DEFINED ENV{TORCH_CUDA_ARCH_LIST} AND NOT "$ENV{TORCH_CUDA_ARCH_LIST}" STREQUAL "")
        gaufuse_architectures_from_torch(CMAKE_CUDA_ARCHITECTURES)
      else()
        gaufuse_default_architectures(${gaufuse_nvcc} CMAKE_CUDA_ARCHITECTURES)
      endif()
    endif()
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    set(CMAKE_CUDA_COMPILER "${gaufuse_nvcc}")
    enable_language(CUDA)
    set(GAUFUSE_WITH_CUDA ON)
    message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(GAUFUSE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "GAUFUSE_CUDA=ON, but nvcc was not found; put it on the PATH or set CUDACXX")
  else()
    message(STATUS "nvcc not found: CPU build")
  endif()
endif()

# Compiles the .cu files of `sources` into objects and adds them to `target`.
function(gaufuse_add_cuda target sources)
  string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
  add_library(gaufuse_cuda OBJECT ${sources})
  target_compile_features(gaufuse_cuda PRIVATE cuda_std_17)
  target_include_directories(gaufuse_cuda PRIVATE csrc)
  # -fmad=false for the same reason as -ffp-contract=off; compressed fatbins keep wheels small.
  target_compile_options(gaufuse_cuda PRIVATE
    -fmad=false -Xfatbin=-compress-all -Xcompiler=-Wall)
  # nvcc takes much more memory than g++: at most four at once, whatever the number of cores.
  set_property(GLOBAL APPEND PROPERTY JOB_POOLS nvcc=4)
  set_target_properties(gaufuse_cuda PROPERTIES
    JOB_POOL_COMPILE nvcc
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    CUDA_VISIBILITY_PRESET hidden)
  target_link_libraries(${target} PRIVATE gaufuse_cuda)
  target_compile_definitions(${target} PRIVATE
    GAUFUSE_WITH_CUDA
    GAUFUSE_CUDA_VERSION="${CMAKE_CUDA_COMPILER_VERSION}"
    GAUFUSE_CUDA_ARCHITECTURES="${architectures}")
endfunction()
