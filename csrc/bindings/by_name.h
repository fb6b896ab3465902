// Keyword arguments of a Python call into structs that list their fields (gaufuse/fields.h).
//
// What is unknown or missing is a TypeError that names it, and so is a value of another kind than
// the field's: an address (an int, what has one as its data_ptr(), or None for null), an int, a
// float (ints count as such), a bool. An address that is not a multiple of what lies there is a
// BufferError. Names are interned, as Python's own are: arguments in the order of the fields, as
// calls have them, take a comparison of pointers each.
#pragma once

#include <Python.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace gaufuse {

struct Argument {
  PyObject* name;    // interned
  const char* kind;  // for people, and for the stubs of csrc/bindings/stubs.py
};

// A function's arguments, those of several structs one after the other.
struct Signature {
  const char* function;
  std::vector<Argument> arguments;
};

// The call's values in the order of the signature: `values` itself where they are, or in `space`;
// null with an error set.
PyObject* const* arrange(const Signature& signature, PyObject* const* values, Py_ssize_t positional,
                         PyObject* names, std::vector<PyObject*>& space);

// False with an error set.
bool read_value(const char* function, const Argument& argument, PyObject* value, void*& result);
bool read_value(const char* function, const Argument& argument, PyObject* value, int64_t& result);
bool read_value(const char* function, const Argument& argument, PyObject* value, int& result);
bool read_value(const char* function, const Argument& argument, PyObject* value, double& result);
bool read_value(const char* function, const Argument& argument, PyObject* value, bool& result);

template <typename Item>
bool is_aligned([[maybe_unused]] const void* address) {
  if constexpr (std::is_void_v<Item>)
    return true;
  else
    return reinterpret_cast<uintptr_t>(address) % alignof(Item) == 0;
}

template <typename Target>
bool read_field(const char* function, const Argument& argument, PyObject* value, Target& result) {
  if constexpr (std::is_pointer_v<Target>) {
    void* address;
    if (!read_value(function, argument, value, address)) return false;
    if (!is_aligned<std::remove_pointer_t<Target>>(address)) {
      PyErr_Format(PyExc_BufferError, "%s: %U is not aligned: %p", function, argument.name,
                   address);
      return false;
    }
    result = static_cast<Target>(address);
  } else if constexpr (std::is_enum_v<Target>) {
    std::underlying_type_t<Target> number;
    if (!read_value(function, argument, value, number)) return false;
    result = static_cast<Target>(number);
  } else {
    return read_value(function, argument, value, result);
  }
  return true;
}

// Of what lies at an address: Python passes no more than a number, so a module that expects other
// items there must not load (`interface`). Signatures are those of float scalars.
template <typename Item>
constexpr const char* address_kind() {
  if (std::is_same_v<Item, float>) return "address of scalars";
  if (std::is_same_v<Item, double>) return "address of double";
  if (std::is_same_v<Item, int64_t>) return "address of int64";
  return sizeof(Item) == 1 ? "address of bytes" : "address of int32";
}
template <>
constexpr const char* address_kind<void>() {
  return "address";
}

template <typename Field>
constexpr const char* kind_of() {
  if constexpr (std::is_pointer_v<Field>)
    return address_kind<std::remove_cv_t<std::remove_pointer_t<Field>>>();
  if (std::is_same_v<Field, double>) return "float";
  return std::is_same_v<Field, bool> ? "bool" : "int";
}

template <typename Struct, typename = void>
struct HasFields : std::false_type {};
template <typename Struct>
struct HasFields<Struct, std::void_t<decltype(Struct::field_names())>> : std::true_type {};

// Whether the struct can be made of so many values.
struct AnyValue {
  template <typename Value>
  operator Value() const;
};
template <typename Struct, typename Numbers, typename = void>
struct TakesValues : std::false_type {};
template <typename Struct, size_t... I>
struct TakesValues<Struct, std::index_sequence<I...>,
                   std::void_t<decltype(Struct{(static_cast<void>(I), AnyValue{})...})>>
    : std::true_type {};

template <typename Struct>
constexpr bool lists_all_fields() {
  constexpr size_t listed = std::tuple_size_v<decltype(std::declval<Struct&>().fields())>;
  return TakesValues<Struct, std::make_index_sequence<listed>>::value &&
         !TakesValues<Struct, std::make_index_sequence<listed + 1>>::value;
}

// Calls visit(field) for every field, those of a struct inside in its place, until one is false.
template <typename Struct, typename Visit>
bool visit_fields(Struct& object, Visit& visit) {
  static_assert(lists_all_fields<Struct>(), "GAUFUSE_FIELDS leaves out a field");
  const auto enter = [&](auto& field) {
    if constexpr (HasFields<std::decay_t<decltype(field)>>::value)
      return visit_fields(field, visit);
    else
      return visit(field);
  };
  return std::apply([&](auto&... field) { return (enter(field) && ...); }, object.fields());
}

// The struct's fields become the signature's next arguments.
template <typename Struct>
void add_arguments(Signature& signature, Struct object = {}) {
  const char* names = Struct::field_names();
  const auto add = [&](auto& field) {
    using Field = std::decay_t<decltype(field)>;
    const char* end = names;
    while (*end != '\0' && *end != ',') ++end;
    const std::string name(names, end);
    names = *end == ',' ? end + 2 : end;  // ", "
    if constexpr (HasFields<Field>::value)
      add_arguments<Field>(signature);
    else
      signature.arguments.push_back({PyUnicode_InternFromString(name.c_str()), kind_of<Field>()});
  };
  std::apply([&](auto&... field) { (add(field), ...); }, object.fields());
}

// Fills the struct from values[at], values[at + 1], ...; `at` is then behind them.
template <typename Struct>
bool read_fields(const Signature& signature, PyObject* const* values, size_t& at, Struct& object) {
  const auto read = [&](auto& field) {
    const size_t i = at++;
    return read_field(signature.function, signature.arguments[i], values[i], field);
  };
  return visit_fields(object, read);
}

}  // namespace gaufuse
