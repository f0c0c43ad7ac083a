// libFuzzer target: whatever the bytes, the reader of safetensors files ends with a model or with a
// safetensors_error; a model's tensors lie inside the file and can be read as numbers and as
// quantized weights or are refused; the model survives being written and read.
//
// Run: safetensors_fuzz -dict=safetensors.dict corpus/safetensors

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <halfbyte/checkpoint.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/safetensors.hpp>

namespace hb = halfbyte;
using bytes = std::vector<std::uint8_t>;

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

bool same(const hb::stored_tensor& a, const hb::stored_tensor& b) {
  return a.name == b.name && a.type == b.type && a.shape == b.shape &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

void read_as_numbers(const hb::stored_tensor& tensor) {
  if (!hb::is_number(tensor.type)) return;
  std::vector<float> floats(tensor.size());
  std::vector<double> doubles(tensor.size());
  hb::read_numbers(tensor, std::span<float>(floats));
  hb::read_numbers(tensor, std::span<double>(doubles));
}

template <class Load>
void read_as_weight(Load load) {
  try {
    const auto weight = load();
    require(weight.rows() > 0 && weight.cols() > 0);
    volatile float last = weight.view()(weight.rows() - 1, weight.cols() - 1);
    (void)last;
  } catch (const hb::safetensors_error&) {
  }
}

/// Every weight whose elements have the name of `tensor`.
void read_as_weights(const hb::safetensors& model, const hb::stored_tensor& tensor) {
  const std::string& name = tensor.name;
  const auto stem = [&name](std::string_view ending) {
    return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : name;
  };
  read_as_weight([&] { return hb::load_huggingface_mxfp4(model, stem("_blocks")); });
  read_as_weight([&] { return hb::load_modelopt_nvfp4(model, name); });
  read_as_weight([&] { return hb::load_compressed_tensors_nvfp4(model, stem("_packed")); });
}

bytes written(const hb::safetensors& model) {
  std::vector<const hb::stored_tensor*> tensors;
  for (const hb::stored_tensor& tensor : model.tensors) tensors.push_back(&tensor);
  const std::string header = hb::detail::safetensors_header(tensors, model.metadata);
  bytes file(header.begin(), header.end());
  for (const hb::stored_tensor& tensor : model.tensors) {
    file.insert(file.end(), tensor.bytes.begin(), tensor.bytes.end());
  }
  return file;
}

void read(std::span<const std::uint8_t> file) {
  hb::safetensors model;
  try {
    model = hb::read_safetensors(file);
  } catch (const hb::safetensors_error& error) {
    require(error.position() <= file.size());
    return;
  }
  std::size_t bytes_seen = 0;
  for (const hb::stored_tensor& tensor : model.tensors) {
    require(tensor.bytes.data() >= file.data());
    require(tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
    require(hb::stored_bytes(tensor.type, tensor.shape) == tensor.bytes.size());
    require(model.find(tensor.name) == &tensor);
    bytes_seen += tensor.bytes.size();
    read_as_numbers(tensor);
    read_as_weights(model, tensor);
  }
  require(bytes_seen < file.size());

  const bytes again = written(model);
  const hb::safetensors copy = hb::read_safetensors(again);
  require(copy.metadata == model.metadata);
  require(std::equal(copy.tensors.begin(), copy.tensors.end(), model.tensors.begin(),
                     model.tensors.end(), same));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> input(data, size);
  read(input);

  // The same bytes as a header up to the last '}' and what is after it, with the length right.
  const auto brace = std::find(input.rbegin(), input.rend(), std::uint8_t{'}'});
  const auto length = static_cast<std::size_t>(input.rend() - brace);
  bytes file;
  for (int i = 0; i < 8; ++i)
    file.push_back(static_cast<std::uint8_t>(std::uint64_t{length} >> (8 * i)));
  file.insert(file.end(), input.begin(), input.end());
  read(file);
  return 0;
}
