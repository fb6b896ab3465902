#include "cpu/json_scanner.h"

#include <charconv>
#include <cstdint>
#include <vector>

namespace gaufuse {
namespace {

constexpr size_t kMaxDigits = 1000;  // Python refuses integers of more than 4,300
constexpr size_t kMaxKeys = 64;      // of an object that is skipped

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(const char* at, const char* end) {
  const auto byte = [&](int i) { return static_cast<uint8_t>(at[i]); };
  const auto continues = [&](int i) { return (byte(i) & 0xc0) == 0x80; };
  while (at < end) {
    const uint8_t lead = byte(0);
    const ptrdiff_t left = end - at;
    if (lead < 0x80) {
      at += 1;
    } else if (lead >= 0xc2 && lead < 0xe0) {
      if (left < 2 || !continues(1)) return false;
      at += 2;
    } else if (lead >= 0xe0 && lead < 0xf0) {
      if (left < 3 || !continues(1) || !continues(2)) return false;
      if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0)) return false;
      at += 3;
    } else if (lead >= 0xf0 && lead < 0xf5) {
      if (left < 4 || !continues(1) || !continues(2) || !continues(3)) return false;
      if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) >= 0x90)) return false;
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

void append_utf8(std::string& text, unsigned code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xe0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    text += static_cast<char>(0xf0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// The end of the number that begins at `at`, or null.
const char* end_of_number(const char* at, const char* end, bool& is_integer) {
  const auto digits = [&] {
    const char* first = at;
    while (at < end && is_digit(*at)) ++at;
    return at > first;
  };
  is_integer = true;
  if (at < end && *at == '-') ++at;
  if (at < end && *at == '0')
    ++at;
  else if (!digits())
    return nullptr;
  if (at < end && *at == '.') {
    is_integer = false;
    ++at;
    if (!digits()) return nullptr;
  }
  if (at < end && (*at == 'e' || *at == 'E')) {
    is_integer = false;
    ++at;
    if (at < end && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return nullptr;
  }
  return at;
}

// [begin, end) is a number by JSON's grammar.
bool to_double(const char* begin, const char* end, double& value) {
#ifdef __cpp_lib_to_chars
  if (static_cast<size_t>(end - begin) > kMaxDigits) return false;
  // Out of range: Python takes 1e-999 for 0, and 1e999 for infinity.
  const std::from_chars_result result = std::from_chars(begin, end, value);
  return result.ec == std::errc() && result.ptr == end;
#else
  (void)begin, (void)end, (void)value;
  return false;  // no parser of doubles that keeps clear of locales: the general reader has one
#endif
}

}  // namespace

bool JsonScanner::string(std::string_view& text) {
  if (!take('"')) return false;
  const char* begin = at_;
  bool plain = true;
  for (; at_ < end_ && *at_ != '"'; ++at_) {
    const auto c = static_cast<uint8_t>(*at_);
    if (c == '\\') return unescape(begin) && (text = unescaped_, true);
    if (c < 0x20) return false;
    plain &= c < 0x80;
  }
  if (at_ == end_ || !(plain || is_utf8(begin, at_))) return false;
  text = std::string_view(begin, at_ - begin);
  ++at_;
  return true;
}

// The string that began at `from`, from its first backslash on, which is where we stand.
bool JsonScanner::unescape(const char* from) {
  unescaped_.assign(from, at_);
  while (at_ < end_ && *at_ != '"') {
    if (static_cast<uint8_t>(*at_) < 0x20) return false;
    if (*at_ != '\\') {
      unescaped_ += *at_++;
      continue;
    }
    if (++at_ == end_) return false;
    constexpr std::string_view letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    const char c = *at_++;
    if (const size_t known = letters.find(c); known != letters.npos) {
      unescaped_ += meant[known];
      continue;
    }
    unsigned code, low;
    if (c != 'u' || !escaped_unit(code)) return false;
    if (code >= 0xd800 && code < 0xe000) {  // of two, or not Unicode
      if (code >= 0xdc00 || end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') return false;
      at_ += 2;
      if (!escaped_unit(low) || low < 0xdc00 || low >= 0xe000) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(unescaped_, code);
  }
  if (at_ == end_) return false;
  ++at_;
  return is_utf8(unescaped_.data(), unescaped_.data() + unescaped_.size());
}

bool JsonScanner::escaped_unit(unsigned& unit) {
  if (end_ - at_ < 4) return false;
  unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = *at_++;
    const char letter = static_cast<char>(c | 0x20);
    if (!is_digit(c) && !(letter >= 'a' && letter <= 'f')) return false;
    unit = 16 * unit + static_cast<unsigned>(is_digit(c) ? c - '0' : letter - 'a' + 10);
  }
  return true;
}

bool JsonScanner::number(double& value, bool& is_integer) {
  peek();
  const char* end = end_of_number(at_, end_, is_integer);
  if (end == nullptr || !to_double(at_, end, value)) return false;
  at_ = end;
  if (is_integer && value == 0.0) value = 0.0;  // the integer -0 is 0
  return true;
}

bool JsonScanner::number_or_text(double& value) {
  bool is_integer;
  if (peek() != '"') return number(value, is_integer);
  std::string_view text;
  if (!string(text)) return false;
  const char* end = text.data() + text.size();
  return end_of_number(text.data(), end, is_integer) == end && to_double(text.data(), end, value);
}

bool JsonScanner::literal(std::string_view word) {
  if (static_cast<size_t>(end_ - at_) < word.size() || word.compare({at_, word.size()}) != 0)
    return false;
  at_ += word.size();
  return true;
}

bool JsonScanner::skip(int depth) {
  std::string_view text;
  double value;
  bool is_integer;
  switch (peek()) {
    case '"':
      return string(text);
    case 't':
      return literal("true");
    case 'f':
      return literal("false");
    case 'n':
      return literal("null");
    case '[':
      return depth > 0 && array([&] { return skip(depth - 1); });
    case '{': {
      if (depth <= 0) return false;
      std::vector<std::string> keys;
      return object([&](std::string_view key) {
        for (const std::string& other : keys)
          if (other == key) return false;
        if (keys.size() == kMaxKeys) return false;
        keys.emplace_back(key);
        return skip(depth - 1);
      });
    }
    default:
      return number(value, is_integer);
  }
}

}  // namespace gaufuse
