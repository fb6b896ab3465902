// The operations of evaluation, which work on flat arrays on the CPU; what module.cpp calls.
#pragma once

#include <pybind11/pybind11.h>

namespace gaufuse {

class Functions;

void bind_evaluation(pybind11::module_& module, Functions& functions);

}  // namespace gaufuse
