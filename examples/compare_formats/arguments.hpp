#pragma once

#include <optional>
#include <string>
#include <vector>

/// What the user asked for.
struct arguments {
  std::string file;
  std::string tensors = "*";
  std::vector<std::string> formats, scales, roundings;
  std::string report = "compare_formats.html";
  std::string write, layout = "huggingface_mxfp4";
};

/// Fills `asked` from the command line. Has an exit code when there is nothing more to do.
std::optional<int> parse(int argc, char** argv, arguments& asked);
