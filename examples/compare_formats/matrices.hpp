#pragma once

#include <string_view>
#include <vector>

#include <halfbyte/safetensors.hpp>
#include <halfbyte/view.hpp>

/// Whether `name` fits `pattern`, in which * stands for any characters and ? for one.
bool fits(std::string_view name, std::string_view pattern);

/// Whether a tensor is a matrix of real numbers that the demo quantizes: two dimensions, not empty,
/// floats. U8, I8 and F8_E8M0 are what quantized checkpoints keep elements and scales in.
bool is_weight(const halfbyte::stored_tensor& tensor);

/// The numbers of a tensor that is_weight, in floats.
struct weight {
  explicit weight(const halfbyte::stored_tensor& tensor);
  halfbyte::matrix_view<const float> view() const { return {numbers.data(), rows, cols}; }

  std::vector<float> numbers;
  std::ptrdiff_t rows, cols;
};
