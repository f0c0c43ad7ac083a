#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "choices.hpp"
#include "measure.hpp"

/// One way to quantize, measured on every matrix and on all of them together.
struct compared {
  choice how;
  measurement total{};
  std::vector<measurement> each{};  ///< in the order of comparison::matrices
};

/// What the program found out about a file.
struct comparison {
  struct matrix {
    std::string name;
    std::ptrdiff_t rows, cols;
  };

  std::string file;
  std::vector<matrix> matrices;
  std::size_t passed_over = 0;  ///< tensors of the file that were not measured
  std::vector<compared> rows;

  std::size_t values() const {
    std::size_t sum = 0;
    for (const matrix& m : matrices) sum += static_cast<std::size_t>(m.rows * m.cols);
    return sum;
  }
};

/// As text, one line for each way.
std::string table(const comparison& all);

/// As an HTML page that needs nothing besides itself.
std::string report(const comparison& all);
