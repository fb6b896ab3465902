// Functions of keywords in a Python module. A Function has: name, result (for the stubs),
// add_arguments_to(signature), and call(signature, values), which returns null with an error set.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <new>
#include <stdexcept>
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

// Runs work() without the GIL, and None or its error with it. What a kernel throws is that its
// scratch does not fit into memory; past here it would end the process.
template <typename Work>
PyObject* run_without_gil(const Work& work) {
  Status status;
  bool enough_memory = true;
  Py_BEGIN_ALLOW_THREADS;
  try {
    status = work();
  } catch (const std::bad_alloc&) {
    enough_memory = false;
  } catch (const std::length_error&) {
    enough_memory = false;  // longer than a vector can be
  }
  Py_END_ALLOW_THREADS;
  return enough_memory ? none_or_raise(status) : PyErr_NoMemory();
}

// Adds functions to a module, and their arguments' kinds to its `signatures`; `interface` is a hash
// of these, by which gaufuse_ext knows a module of another version.
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
    hash(Function::name);
    for (const Argument& argument : signature.arguments) {
      kinds[pybind11::handle(argument.name)] = argument.kind;
      hash(PyUnicode_AsUTF8(argument.name));
      hash(argument.kind);
    }
    kinds["return"] = Function::result;
    hash(Function::result);
    kinds_[Function::name] = kinds;
    module_.attr("interface") = pybind11::str("{:016x}").format(hash_);
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

  // FNV-1a, of the text and its end.
  void hash(const char* text) {
    do {
      hash_ = (hash_ ^ static_cast<unsigned char>(*text)) * 0x100000001b3u;
    } while (*text++ != '\0');
  }

  pybind11::module_& module_;
  pybind11::dict kinds_;
  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace gaufuse
