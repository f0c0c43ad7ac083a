// Built for another GPU than it runs on: every Hopper kernel says so before it is launched.

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include <halfbyte/cuda/gemm.cuh>

#include "on_device.cuh"

namespace {

using namespace halfbyte::cuda;

int passed = 0, failed = 0;

void verdict(bool right, const char* what) {
  ++(right ? passed : failed);
  if (!right) std::printf("FAILED: %s\n", what);
}

constexpr int m = 16, n = 256, k = 256;

/// Throws, and leaves D and the device's state as they were.
template <class Run>
void refused(const char* what, Run run) {
  buffer<float> d(m * n);
  d.fill(0xC5);
  const std::vector<float> before = d.to_host();
  std::string message;
  try {
    run(output_matrix{d.data(), n, m, n});
  } catch (const std::runtime_error& thrown) {
    message = thrown.what();
  }
  const bool nothing_ran =
      cudaGetLastError() == cudaSuccess && cudaDeviceSynchronize() == cudaSuccess;
  const std::vector<float> after = d.to_host();
  verdict(message.find("not built for this device") != std::string::npos && nothing_ran &&
              std::equal(after.begin(), after.end(), before.begin()),
          what);
}

}  // namespace

int main() {
  if (!on_device::available()) {
    std::printf("skipped: no GPU\n");
    return 77;
  }
  using enum element;
  constexpr auto f32 = output::float32;
  buffer<std::uint8_t> bytes(n * k), scales(n * k / 32);
  buffer<float> ones(std::vector<float>(2 * n, 1.0f));
  bytes.fill(0x38);  // 1 in E4M3; 0.5 and -0 in E2M1
  scales.fill(127);
  const operand_matrix a{bytes.data(), k, m, k}, b{bytes.data(), k, n, k};
  refused("gemm_sm90", [&](const output_matrix& d) {
    gemm_sm90<e4m3, e4m3, f32, sm90_tile_small>::launch(a, b, d, {}, nullptr);
  });
  refused("gemm_sm90_skinny", [&](const output_matrix& d) {
    gemm_sm90_skinny<false, 16, f32>::launch(a, b, {}, nullptr, d, {}, nullptr);
  });
  if (device_facts::current().architecture == 90) {  // elsewhere these take the fallback
    refused("gemm", [&](const output_matrix& d) { gemm<e5m2, e5m2, f32>(a, b, d, {}, nullptr); });
    refused("gemm_blockwise", [&](const output_matrix& d) {
      gemm_blockwise<e4m3, e4m3, f32, blockwise::rows_and_rows>(
          a, {ones.data(), 2, 1, false}, b, {ones.data(), 2, 1, false}, d, {}, nullptr);
    });
  }

  // The fallback runs wherever its code can, and says where it cannot.
  buffer<float> d(m * n);
  d.fill(0xC5);
  bool right = false;
  try {
    gemm_packed<e4m3, 32, e4m3, 32, f32>({bytes.data(), k, m, k, {scales.data(), k / 32}},
                                         {bytes.data(), k, n, k, {scales.data(), k / 32}},
                                         {d.data(), n, m, n}, {}, nullptr);
    right = d.to_host() == std::vector<float>(m * n, static_cast<float>(k));
  } catch (const error& thrown) {
    std::printf("fallback: %s\n", thrown.what());
    right =
        std::string(thrown.what()).find("cudaErrorNoKernelImageForDevice") != std::string::npos ||
        std::string(thrown.what()).find("cudaErrorUnsupportedPtxVersion") != std::string::npos;
  }
  verdict(right, "gemm_packed");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
