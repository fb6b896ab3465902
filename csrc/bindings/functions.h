// Functions of keywords in a Python module. A Function has: name, result (for the stubs),
// add_arguments_to(signature), and call(signature, values), which returns null with an error set.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "bindings/by_name.h"
#include "gaufuse/status.h"

namespace gaufuse {

inline PyObject* none_or_raise(const Status& status) {
  if (status.ok()) Py_RETURN_NONE;
  PyObject* error = PyExc_RuntimeError;
  if (status.code == Code::invalid_argument) error = PyExc_ValueError;
  if (status.code == Code::out_of_memory) error = PyExc_MemoryError;
  PyErr_SetString(error, status.message);
  return nullptr;
}

// Adds functions to a module, and their arguments' kinds to its `signatures`.
class Functions {
 public:
  explicit Functions(pybind11::module_& module) : module_(module) {
    module.attr("signatures") = kinds_;
  }

  template <typename Function>
  void add() {
    Signature& signature = signature_of<Function>;
    signature = {Function::name, {}};
    Function::add_arguments_to(signature);
    static PyMethodDef definition{
        Function::name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(run<Function>)),
        METH_FASTCALL | METH_KEYWORDS, nullptr};
    PyObject* function = PyCFunction_NewEx(&definition, nullptr, module_.attr("__name__").ptr());
    if (function == nullptr) throw pybind11::error_already_set();
    module_.attr(Function::name) = pybind11::reinterpret_steal<pybind11::object>(function);
    pybind11::dict kinds;
    for (const Argument& argument : signature.arguments)
      kinds[pybind11::handle(argument.name)] = argument.kind;
    kinds["return"] = Function::result;
    kinds_[Function::name] = kinds;
  }

 private:
  template <typename Function>
  inline static Signature signature_of{};

  template <typename Function>
  static PyObject* run(PyObject*, PyObject* const* values, Py_ssize_t positional, PyObject* names) {
    std::vector<PyObject*> space;
    values = arrange(signature_of<Function>, values, positional, names, space);
    return values == nullptr ? nullptr : Function::call(signature_of<Function>, values);
  }

  pybind11::module_& module_;
  pybind11::dict kinds_;
};

}  // namespace gaufuse
