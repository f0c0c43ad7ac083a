#include "arguments.hpp"

#include <CLI/CLI.hpp>

#include "choices.hpp"

#ifndef SAMPLE_WEIGHTS
#define SAMPLE_WEIGHTS "examples/data/minilm_sample.safetensors"
#endif

namespace {

std::string listed(const std::string& what, const std::vector<std::string>& names) {
  std::string text = what + ":";
  for (const std::string& name : names) text += " " + name;
  return text + "\n";
}

}  // namespace

std::optional<int> parse(int argc, char** argv, arguments& asked) {
  asked.file = SAMPLE_WEIGHTS;
  CLI::App app("Quantizes the matrices of a safetensors file and says what that does to them.");
  app.add_option("file", asked.file, "a .safetensors file")->capture_default_str();
  app.add_option("--tensors", asked.tensors,
                 "only those with such a name: * any text, ? any character")
      ->capture_default_str();
  const auto several = [&app](const char* name, std::vector<std::string>& into, const char* what) {
    app.add_option(name, into, what)->delimiter(',')->allow_extra_args(false);
  };
  several("--format", asked.formats, "block formats with commas between, or all");
  several("--scale", asked.scales, "scale rules, or all, or default: each format's own");
  several("--rounding", asked.roundings, "roundings, or all");
  app.add_option("--report", asked.report, "HTML file to write; \"\" for none")
      ->capture_default_str();
  app.add_option("--write", asked.write, "safetensors file to write, quantized");
  app.add_option("--layout", asked.layout, "layout of --write")
      ->check(CLI::IsMember({"huggingface_mxfp4", "modelopt_nvfp4", "compressed_tensors_nvfp4"}))
      ->capture_default_str();
  app.footer(
      "Without --format, --scale and --rounding: every format as it comes, and every scale rule "
      "and\nrounding of mxfp4 and nvfp4. Time is that of quantize().\n\n" +
      listed("Block formats", block_formats()) + listed("Scale rules", every_scale_rule()) +
      listed("Roundings", roundings()));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return std::nullopt;
}
