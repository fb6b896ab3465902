// Where there is no libFuzzer: random inputs, a fixed number of them.
//
//   HARNESS COUNT [SEED]     that many inputs
//   HARNESS FILE ...         inputs in files, as libFuzzer keeps them
//
// Input number i of seed s is always the same; where a check fails, its bytes are left in
// crash-NAME-SEED-NUMBER.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" const char* fuzz_name();
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMostBytes = 64;
uint8_t input[kMostBytes];
size_t input_size = 0;
unsigned long long input_seed = 0;
unsigned long long input_number = 0;

void keep_input() {
  char name[200];
  std::snprintf(name, sizeof(name), "crash-%s-%llu-%llu", fuzz_name(), input_seed, input_number);
  if (std::FILE* file = std::fopen(name, "wb")) {
    std::fwrite(input, 1, input_size, file);
    std::fclose(file);
    std::fprintf(stderr, "input kept in %s\n", name);
  }
}

void on_signal(int signal) {
  keep_input();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run_random(unsigned long long count, unsigned long long seed) {
  for (int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS}) std::signal(signal, on_signal);
  input_seed = seed;
  for (input_number = 0; input_number < count; ++input_number) {
    std::mt19937_64 random(seed * 1000003 + input_number);
    input_size = random() % (kMostBytes + 1);
    for (size_t i = 0; i < input_size; i += 8) {
      const uint64_t word = random();
      std::memcpy(input + i, &word, 8);
    }
    LLVMFuzzerTestOneInput(input, input_size);
  }
  std::printf("%s: %llu inputs of seed %llu\n", fuzz_name(), count, seed);
}

void run_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "%s cannot be read\n", path);
    std::exit(2);
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s COUNT [SEED] | FILE ...\n", arguments[0]);
    return 2;
  }
  char* end = nullptr;
  const unsigned long long inputs = std::strtoull(arguments[1], &end, 10);
  if (*end == '\0' && count <= 3) {
    run_random(inputs, count == 3 ? std::strtoull(arguments[2], nullptr, 10) : 0);
    return 0;
  }
  for (int i = 1; i < count; ++i) run_file(arguments[i]);
  return 0;
}
