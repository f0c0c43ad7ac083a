// Quantizes the matrices of a safetensors file in every way that is asked for and says what that
// does to them: a table, a report with pictures, and, with --write, a quantized checkpoint.
//
//     compare_formats                                   a first look at the sample in examples/data
//     compare_formats model.safetensors --tensors '*attention*'
//     compare_formats model.safetensors --format nvfp4 --scale all --rounding all
//     compare_formats model.safetensors --write small.safetensors --layout modelopt_nvfp4

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

#include <halfbyte/checkpoint.hpp>
#include <halfbyte/file.hpp>
#include <halfbyte/safetensors.hpp>

#include "arguments.hpp"
#include "choices.hpp"
#include "comparison.hpp"
#include "matrices.hpp"
#include "measure.hpp"

namespace hb = halfbyte;
namespace fs = std::filesystem;

namespace {

/// A line on the terminal that says how far the work is. Silent where nobody looks.
class progress {
 public:
  explicit progress(double work) : work_(work), start_(clock::now()), shown_(start_) {
#if __has_include(<unistd.h>)
    visible_ = isatty(STDERR_FILENO) != 0;
#endif
  }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() {
    if (visible_) std::fputs("\r\x1b[K", stderr);
  }

  void add(double done) {
    done_ += done;
    const auto now = clock::now();
    if (!visible_ || now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    const double part = done_ / work_;
    const double left = std::chrono::duration<double>(now - start_).count() * (1 / part - 1);
    const int width = 40, full = static_cast<int>(part * width);
    std::fprintf(stderr, "\r[%.*s%*s] %3.0f %%, %.0f s left\x1b[K", full,
                 "########################################", width - full, "", 100 * part, left);
  }

 private:
  using clock = std::chrono::steady_clock;
  double work_, done_ = 0;
  clock::time_point start_, shown_;
  bool visible_ = false;
};

bool selected(const hb::stored_tensor& tensor, const arguments& asked) {
  return is_weight(tensor) && fits(tensor.name, asked.tensors);
}

comparison compare(const hb::safetensors& model, const arguments& asked) {
  comparison all;
  all.file = asked.file;
  const bool first_look = asked.formats.empty() && asked.scales.empty() && asked.roundings.empty();
  const auto or_else = [](const std::vector<std::string>& given, const char* otherwise) {
    return given.empty() ? std::vector<std::string>{otherwise} : given;
  };
  const std::vector<choice> ways =
      first_look ? overview()
                 : choices(or_else(asked.formats, "all"), or_else(asked.scales, "default"),
                           or_else(asked.roundings, "nearest_even"));
  for (const choice& way : ways) all.rows.push_back({way});
  double work = 0;
  for (const hb::stored_tensor& tensor : model.tensors) {
    if (selected(tensor, asked)) work += static_cast<double>(tensor.size() * ways.size());
  }
  progress bar(work);
  for (const hb::stored_tensor& tensor : model.tensors) {
    if (!selected(tensor, asked)) {
      ++all.passed_over;
      continue;
    }
    const weight w(tensor);
    all.matrices.push_back({tensor.name, w.rows, w.cols});
    for (compared& row : all.rows) {
      row.each.push_back(measure(w.view(), row.how));
      row.total += row.each.back();
      bar.add(static_cast<double>(tensor.size()));
    }
  }
  if (all.matrices.empty()) {
    throw std::invalid_argument("no matrix of floats with a name like " +
                                hb::printable(asked.tensors));
  }
  return all;
}

/// A copy of the model with its matrices quantized. Those that end inside a block stay as they are.
void write_checkpoint(const hb::safetensors& model, const arguments& asked) {
  const auto one = [](const std::vector<std::string>& given, const std::string& otherwise) {
    return given.size() == 1 && given[0] != "all" && given[0] != "default" ? given[0] : otherwise;
  };
  const bool mxfp4 = asked.layout == "huggingface_mxfp4";
  const std::string format = mxfp4 ? "mxfp4" : "nvfp4";
  const choice how{format, one(asked.scales, scale_rules(format)[0]),
                   one(asked.roundings, "nearest_even")};
  const std::uint64_t block = mxfp4 ? 32 : 16;

  hb::checkpoint_writer writer;
  writer.metadata = model.metadata;
  std::vector<hb::quantized<hb::mxfp4>> mx;
  std::vector<hb::quantized<hb::nvfp4>> nv;
  mx.reserve(model.tensors.size());  // the writer points to their bytes
  nv.reserve(model.tensors.size());
  std::size_t whole = 0;
  for (const hb::stored_tensor& tensor : model.tensors) {
    if (!selected(tensor, asked) || tensor.shape[1] % block != 0) {
      writer.add(tensor);
      ++whole;
      continue;
    }
    const weight w(tensor);
    if (mxfp4) {
      mx.push_back(quantize_as<hb::mxfp4>(w.view(), how));
      writer.add_huggingface_mxfp4(tensor.name, mx.back());
    } else {
      nv.push_back(quantize_as<hb::nvfp4>(w.view(), how));
      if (asked.layout == "modelopt_nvfp4") {
        writer.add_modelopt_nvfp4(tensor.name, nv.back());
      } else {
        writer.add_compressed_tensors_nvfp4(tensor.name, nv.back());
      }
    }
  }
  writer.write(asked.write);
  std::printf("%s: %zu matrices in %s (%s, %s), %zu tensors as they were\n", asked.write.c_str(),
              mx.size() + nv.size(), asked.layout.c_str(), how.scale.c_str(), how.rounding.c_str(),
              whole);
}

void run(const arguments& asked) {
  const auto whole = [](const fs::path& p) { return fs::weakly_canonical(fs::absolute(p)); };
  if (!asked.write.empty() && !asked.report.empty() && whole(asked.write) == whole(asked.report)) {
    throw std::invalid_argument("--write and --report name the same file");
  }
  const hb::mapped_file file(asked.file);
  const hb::safetensors model = hb::read_safetensors(file.bytes());
  const comparison all = compare(model, asked);
  std::fputs(table(all).c_str(), stdout);
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "the table");

  // Neither file takes its place before both are on the disk.
  std::optional<hb::unfinished_file> page;
  if (!asked.report.empty()) {
    const std::string text = report(all);
    const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(text.data()),
                                              text.size());
    page.emplace(asked.report, std::span(&bytes, 1));
  }
  if (!asked.write.empty()) write_checkpoint(model, asked);
  if (page) {
    page->finish();
    std::printf("%s: the same with pictures\n", asked.report.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  arguments asked;
  if (const std::optional<int> code = parse(argc, argv, asked)) return *code;
  try {
    run(asked);
    return 0;
  } catch (const hb::safetensors_error& error) {
    std::fprintf(stderr, "compare_formats: %s: %s\n", asked.file.c_str(), error.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "compare_formats: %s: not enough memory\n", asked.file.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "compare_formats: %s\n", error.what());
  }
  return 2;
}
