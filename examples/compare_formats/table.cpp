#include <algorithm>

#include "comparison.hpp"
#include "text.hpp"

std::string table(const comparison& all) {
  std::size_t format = 6, scale = 10, rounding = 8;  // widths of the headings
  for (const compared& row : all.rows) {
    format = std::max(format, row.how.format.size());
    scale = std::max(scale, row.how.scale.size());
    rounding = std::max(rounding, row.how.rounding.size());
  }
  std::string text = all.file + ": matrices, " + std::to_string(all.matrices.size()) + " of " +
                     std::to_string(all.matrices.size() + all.passed_over) + " tensors, " +
                     with_commas(all.values()) + " values\n\n";
  text += padded("format", format) + "  " + padded("scale rule", scale) + "  " +
          padded("rounding", rounding) +
          "  bits/value        MSE  SQNR dB     cosine    time ms   GB/s\n";
  for (const compared& row : all.rows) {
    const measurement& m = row.total;
    text += padded(row.how.format, format) + "  " + padded(row.how.scale, scale) + "  " +
            padded(row.how.rounding, rounding) +
            formatted("  %10.3f  %9.3e  %7.2f  %9.7f  %8.2f  %6.3f%s\n", m.bits_per_value(),
                      unsigned_nan(m.errors.mse()), unsigned_nan(m.errors.sqnr()),
                      unsigned_nan(m.errors.cosine()), 1000 * m.seconds, m.gigabytes_per_second(),
                      is_compiled(row.how) ? "" : "*");
  }
  const bool slow = std::any_of(all.rows.begin(), all.rows.end(),
                                [](const compared& row) { return !is_compiled(row.how); });
  if (slow) text += "\n* its policies were chosen at run time: slower than the library with them\n";
  return text + "\n";
}
