// A scanner of JSON text (RFC 8259): strict, within bounds, without recursion into what it does not
// know beyond a small depth. Every function returns false where the text is not what it expects.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gaufuse {

class JsonScanner {
 public:
  JsonScanner(const char* data, size_t size) : at_(data), end_(data + size) {}

  // After white space: the character that comes next, or 0 at the end; it is not taken.
  char peek() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ < end_ ? *at_ : '\0';
  }

  // Takes `expected`, after white space.
  bool take(char expected) {
    if (peek() != expected) return false;
    ++at_;
    return true;
  }

  bool at_end() { return peek() == '\0' && at_ == end_; }

  // A string, without its escapes, in UTF-8; valid until the next call.
  bool string(std::string_view& text);

  // A number, to the nearest double; `is_integer`: neither point nor exponent.
  bool number(double& value, bool& is_integer);

  // A number, or a string that holds one and nothing else.
  bool number_or_text(double& value);

  // Any value, whose objects have no key twice. `depth`: of nesting that is still allowed.
  bool skip(int depth);

  // What an object holds: value(key) must take each value and return whether it could.
  template <typename Value>
  bool object(Value value);

  // The same of an array: item().
  template <typename Item>
  bool array(Item item);

 private:
  bool unescape(const char* from);
  bool escaped_unit(unsigned& unit);
  bool literal(std::string_view word);

  const char* at_;
  const char* end_;
  std::string unescaped_;
};

template <typename Value>
bool JsonScanner::object(Value value) {
  if (!take('{')) return false;
  if (take('}')) return true;
  do {
    std::string_view key;
    if (peek() != '"' || !string(key)) return false;
    if (!take(':') || !value(key)) return false;
  } while (take(','));
  return take('}');
}

template <typename Item>
bool JsonScanner::array(Item item) {
  if (!take('[')) return false;
  if (take(']')) return true;
  do {
    if (!item()) return false;
  } while (take(','));
  return take(']');
}

}  // namespace gaufuse
