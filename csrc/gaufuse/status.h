// Every entry point of the core returns a Status: no exception crosses the boundary.
#pragma once

#include <cstdarg>
#include <cstdio>

namespace gaufuse {

enum class Code { ok, invalid_argument, out_of_memory, cuda_error };

struct Status {
  Code code = Code::ok;
  char message[256] = {0};

  bool ok() const { return code == Code::ok; }
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
inline Status make_status(Code code, const char* format, ...) {
  Status status;
  status.code = code;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(status.message, sizeof(status.message), format, arguments);
  va_end(arguments);
  return status;
}

}  // namespace gaufuse
