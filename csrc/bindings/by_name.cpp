#include "bindings/by_name.h"

#include <climits>

namespace gaufuse {
namespace {

// Of an argument's name in the signature, looked for from `start` on; -1: there is none.
int64_t find_argument(const Signature& signature, PyObject* name, size_t start) {
  const std::vector<Argument>& arguments = signature.arguments;
  for (size_t k = 0; k < arguments.size(); ++k) {
    const size_t i = (start + k) % arguments.size();
    if (arguments[i].name == name) return static_cast<int64_t>(i);
  }
  for (size_t i = 0; i < arguments.size(); ++i)  // names that are made at run time
    if (PyUnicode_Compare(arguments[i].name, name) == 0) return static_cast<int64_t>(i);
  return -1;
}

void append(std::string& list, PyObject* name) {
  const char* text = PyUnicode_AsUTF8(name);
  if (text == nullptr) PyErr_Clear();
  list += list.empty() ? "" : ", ";
  list += text == nullptr ? "?" : text;
}

bool raise_wrong_kind(const char* function, const Argument& argument, PyObject* value,
                      const char* kind) {
  PyErr_Format(PyExc_TypeError, "%s: %U must be %s, got %R (%s)", function, argument.name, kind,
               value, Py_TYPE(value)->tp_name);
  return false;
}

bool is_integer(PyObject* value) { return PyLong_Check(value) && !PyBool_Check(value); }

bool read_integer(const char* function, const Argument& argument, PyObject* value, long long least,
                  long long most, long long& result) {
  if (!is_integer(value)) return raise_wrong_kind(function, argument, value, "an int");
  int overflow;
  result = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow == 0 && least <= result && result <= most) return true;
  PyErr_Format(PyExc_OverflowError, "%s: %U must lie in [%lld, %lld], got %R", function,
               argument.name, least, most, value);
  return false;
}

}  // namespace

PyObject* const* arrange(const Signature& signature, PyObject* const* values, Py_ssize_t positional,
                         PyObject* names, std::vector<PyObject*>& space) {
  if (positional != 0) {
    PyErr_Format(PyExc_TypeError, "%s takes its arguments by name, got %zd without",
                 signature.function, positional);
    return nullptr;
  }
  const size_t size = signature.arguments.size();
  const size_t given = names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
  size_t same = 0;
  while (same < given && same < size &&
         PyTuple_GET_ITEM(names, same) == signature.arguments[same].name)
    ++same;
  if (same == size && given == size) return values;

  space.assign(size, nullptr);
  std::string unknown, missing;
  for (size_t i = 0; i < given; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    const int64_t place = find_argument(signature, name, i);
    if (place < 0)
      append(unknown, name);
    else
      space[place] = values[i];
  }
  for (size_t i = 0; i < size; ++i)
    if (space[i] == nullptr) append(missing, signature.arguments[i].name);
  if (unknown.empty() && missing.empty()) return space.data();
  if (!unknown.empty()) unknown = " does not know " + unknown;
  if (!missing.empty()) missing = (unknown.empty() ? " lacks " : "; it lacks ") + missing;
  PyErr_Format(PyExc_TypeError, "%s%s%s", signature.function, unknown.c_str(), missing.c_str());
  return nullptr;
}

bool read_value(const char* function, const Argument& argument, PyObject* value, void*& result) {
  if (value == Py_None) {
    result = nullptr;
    return true;
  }
  if (!is_integer(value)) {
    static PyObject* const method = PyUnicode_InternFromString("data_ptr");
    PyObject* address = PyObject_CallMethodNoArgs(value, method);
    if (address == nullptr && !PyErr_ExceptionMatches(PyExc_AttributeError)) return false;
    if (address != nullptr && is_integer(address)) {
      const bool is_read = read_value(function, argument, address, result);
      Py_DECREF(address);
      return is_read;
    }
    Py_XDECREF(address);
    PyErr_Clear();
    return raise_wrong_kind(function, argument, value, "a tensor, an address (int) or None");
  }
  const unsigned long long address = PyLong_AsUnsignedLongLong(value);
  if (address == ULLONG_MAX && PyErr_Occurred() != nullptr) {
    PyErr_Format(PyExc_OverflowError, "%s: %U is no address: %R", function, argument.name, value);
    return false;
  }
  result = reinterpret_cast<void*>(static_cast<uintptr_t>(address));
  return true;
}

bool read_value(const char* function, const Argument& argument, PyObject* value, int64_t& result) {
  long long wide;
  if (!read_integer(function, argument, value, INT64_MIN, INT64_MAX, wide)) return false;
  result = wide;
  return true;
}

bool read_value(const char* function, const Argument& argument, PyObject* value, int& result) {
  long long wide;
  if (!read_integer(function, argument, value, INT_MIN, INT_MAX, wide)) return false;
  result = static_cast<int>(wide);
  return true;
}

bool read_value(const char* function, const Argument& argument, PyObject* value, double& result) {
  if (!PyFloat_Check(value) && !is_integer(value))
    return raise_wrong_kind(function, argument, value, "a float");
  result = PyFloat_AsDouble(value);
  return result != -1.0 || PyErr_Occurred() == nullptr;
}

bool read_value(const char* function, const Argument& argument, PyObject* value, bool& result) {
  if (!PyBool_Check(value)) return raise_wrong_kind(function, argument, value, "a bool");
  result = value == Py_True;
  return true;
}

}  // namespace gaufuse
