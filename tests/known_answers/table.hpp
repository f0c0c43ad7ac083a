#pragma once

#include <charconv>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace known_answers {

/// What one reference says: `input` (bits of a float, or of a double where `wide`) in a format,
/// under a rounding and an overflow rule, is `pattern`, or any NaN where `nan`.
struct answer {
  std::uint64_t input;
  std::uint32_t pattern;
  bool wide;
  bool nan;
};

/// Answers that share everything but the input. The stochastic roundings draw the `bits` random
/// bits `word`; elsewhere both are 0.
struct section {
  std::string source, format, rounding, overflow;
  int bits = 0;
  std::uint32_t word = 0;
  std::vector<answer> answers;
};

/// Reads a table that make_known_answers.py wrote.
inline std::vector<section> read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<section> sections;
  std::vector<std::uint64_t> inputs;
  std::size_t expected = 0, answered = 0;
  std::string format, line;
  bool wide = false;
  bool reading_inputs = false;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "#") continue;
    if (word == "inputs" || word == "answers") {
      if (!sections.empty() && answered != expected) throw std::runtime_error("short answers");
      answered = 0;
    }
    if (word == "inputs") {
      std::string type;
      words >> format >> type >> expected;
      wide = type == "float64";
      reading_inputs = true;
      inputs.clear();
      answered = expected;
    } else if (word == "answers") {
      if (inputs.size() != expected) throw std::runtime_error("short inputs");
      section next;
      next.format = format;
      words >> next.source >> next.rounding >> next.overflow >> next.bits >> next.word;
      sections.push_back(next);
      reading_inputs = false;
    } else {
      for (bool more = true; more; more = static_cast<bool>(words >> word)) {
        std::uint64_t bits = 0;
        if (word != "-" && word != "nan") {
          const char* end = word.data() + word.size();
          if (std::from_chars(word.data(), end, bits, 16).ptr != end) {
            throw std::runtime_error("not a number: " + word);
          }
        }
        if (reading_inputs) {
          inputs.push_back(bits);
        } else {
          const std::uint64_t input = inputs.at(answered++);
          if (word == "-") continue;
          sections.back().answers.push_back(
              {input, static_cast<std::uint32_t>(bits), wide, word == "nan"});
        }
      }
    }
  }
  if (answered != expected) throw std::runtime_error("short answers");
  return sections;
}

}  // namespace known_answers
