// Times the GEMMs beside cuBLASLt, in one process and in turns: medians of CUDA events on random
// data. Prints a table; with a file name as argument also writes job, kernel, shape, microseconds
// and TFLOP/s as comma-separated values. With M N K after it, times that one small shape.

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <halfbyte/cuda/gemm.cuh>

#include "cublaslt.cuh"
#include "race.cuh"
#include "random_data.cuh"

namespace {

using namespace halfbyte::cuda;

struct shape {
  int m, n, k;
};

/// One operand in every form that a candidate takes, `copies` of each so that timing small products
/// does not read them from L2.
struct forms {
  int rows, columns, copies;
  std::size_t count;
  buffer<std::uint8_t> fp8, int8, fp4, fp4_scales, nvfp4, nvfp4_scales, folded_bytes, unfit;
  buffer<std::uint16_t> bfloat16, unpacked;
  buffer<float> row_scale, block_scale, folded_scale;
  buffer<int> unfit_rows, unfit_count{1};

  forms(int r, int c, int n, bool large, std::uint64_t seed)
      : rows(r),
        columns(c),
        copies(n),
        count(static_cast<std::size_t>(r) * static_cast<std::size_t>(c)),
        fp8(count * static_cast<std::size_t>(n)),
        int8(large ? count : 0),
        fp4(count / 2 * static_cast<std::size_t>(n)),
        fp4_scales(count / 32 * static_cast<std::size_t>(n)),
        nvfp4(large ? count / 2 : 0),
        nvfp4_scales(large ? count / 16 : 0),
        folded_bytes(count),
        unfit(static_cast<std::size_t>(r)),
        bfloat16(large ? count : 0),
        unpacked(large ? count : 0),
        row_scale(static_cast<std::size_t>(r)),
        block_scale(count / 128 + 1),
        folded_scale(static_cast<std::size_t>(r)),
        unfit_rows(static_cast<std::size_t>(r)) {
    bench::fill_e4m3<<<1024, 256>>>(fp8.data(), fp8.size(), seed);
    bench::fill_fp4<false><<<1024, 256>>>(fp4.data(), fp4_scales.data(), fp4_scales.size(), seed);
    bench::fill_scale<<<64, 256>>>(row_scale.data(), row_scale.size(), seed);
    bench::fill_scale<<<64, 256>>>(block_scale.data(), block_scale.size(), seed);
    if (large) {
      bench::fill_int8<<<1024, 256>>>(reinterpret_cast<std::int8_t*>(int8.data()), count, seed);
      bench::fill_fp4<true>
          <<<1024, 256>>>(nvfp4.data(), nvfp4_scales.data(), nvfp4_scales.size(), seed);
      bench::fill_bfloat16<<<1024, 256>>>(reinterpret_cast<__nv_bfloat16*>(bfloat16.data()), count,
                                          seed);
    }
    fold(mxfp4(0), folded(), nullptr);
    check(cudaDeviceSynchronize());
  }
  operand_matrix as_fp8(int i) const {
    return {fp8.data() + static_cast<std::size_t>(i % copies) * count, columns, rows, columns};
  }
  block_scaled_matrix mxfp4(int i) const {
    const std::size_t copy = static_cast<std::size_t>(i % copies);
    return {fp4.data() + copy * count / 2,
            columns / 2,
            rows,
            columns,
            {fp4_scales.data() + copy * count / 32, columns / 32, false}};
  }
  block_scaled_matrix as_nvfp4() const {
    return {nvfp4.data(), columns / 2, rows, columns, {nvfp4_scales.data(), columns / 16, false}};
  }
  folded_matrix folded() {
    return {folded_bytes.data(), columns,     rows, columns, folded_scale.data(), unfit_rows.data(),
            unfit_count.data(),  unfit.data()};
  }
  block_scales blocks() const { return {block_scale.data(), columns / 128, 1, false}; }
};

void report(const bench::race& race, const std::string& job, const shape& s, std::FILE* csv) {
  for (std::size_t i = 0; i < race.size(); ++i) {
    const double seconds = race.median(i);
    const double rate = 2e-12 * s.m * s.n * s.k / seconds;
    std::printf("%-8s %5d x %5d x %5d  %-34s %9.1f us %8.1f TFLOP/s\n", job.c_str(), s.m, s.n, s.k,
                race.name(i).c_str(), 1e6 * seconds, rate);
    if (csv != nullptr)
      std::fprintf(csv, "%s,%s,%d,%d,%d,%.3f,%.2f\n", job.c_str(), race.name(i).c_str(), s.m, s.n,
                   s.k, 1e6 * seconds, rate);
  }
  std::fflush(stdout);
}

void add_peer(bench::race& race, const std::string& name, cudaDataType_t type, peer::scaling mode,
              bool fast, const shape& s, std::function<const void*(int)> a,
              std::function<const void*(int)> b, void* d, const float* scale_a,
              const float* scale_b) {
  const bool integer = type == CUDA_R_8I;
  auto gemm = std::shared_ptr<peer::cublaslt_gemm>(new peer::cublaslt_gemm(
      type, integer ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F, integer ? CUDA_R_32I : CUDA_R_16BF,
      s.m, s.n, s.k, mode, fast, scale_a, scale_b));
  if (!gemm->supported()) return std::printf("%s: not offered\n", name.c_str()), void();
  gemm->tune(a(0), b(0), d, nullptr);
  race.add(name, [=](int i) { gemm->run(a(i), b(i), d, nullptr); });
}

void large_job(const shape& s, std::FILE* csv) {
  using enum element;
  using peer::scaling;
  forms a(s.m, s.k, 1, true, 1), b(s.n, s.k, 1, true, 2);
  buffer<std::uint8_t> memory(static_cast<std::size_t>(s.m) * static_cast<std::size_t>(s.n) * 4);
  const output_matrix d{memory.data(), s.n, s.m, s.n};
  const epilogue outer{
      1.0f, {a.row_scale.data(), true}, {b.row_scale.data(), true}, nullptr, false};
  const auto constant = [](const void* p) { return [p](int) { return p; }; };
  bench::race race(nullptr);
  const auto peers = [&](const std::string& name, cudaDataType_t type, scaling mode, bool fast,
                         const void* x, const void* y) {
    add_peer(race, name, type, mode, fast, s, constant(x), constant(y), memory.data(),
             mode == scaling::block_1x128_128x128 ? a.block_scale.data() : a.row_scale.data(),
             mode == scaling::block_1x128_128x128 ? b.block_scale.data() : b.row_scale.data());
  };
  peers("cuBLASLt bf16", CUDA_R_16BF, scaling::none, true, a.bfloat16.data(), b.bfloat16.data());
  peers("cuBLASLt fp8 row x column fast", CUDA_R_8F_E4M3, scaling::outer, true, a.fp8.data(),
        b.fp8.data());
  peers("cuBLASLt fp8 tensor accurate", CUDA_R_8F_E4M3, scaling::tensor, false, a.fp8.data(),
        b.fp8.data());
  peers("cuBLASLt fp8 1x128 x 128x128", CUDA_R_8F_E4M3, scaling::block_1x128_128x128, false,
        a.fp8.data(), b.fp8.data());
  peers("cuBLASLt int8", CUDA_R_8I, scaling::none, true, a.int8.data(), b.int8.data());
  constexpr output o = output::bfloat16;
  const operand_matrix wide_a{a.bfloat16.data(), 2 * s.k, s.m, s.k},
      wide_b{b.bfloat16.data(), 2 * s.k, s.n, s.k};
  const operand_matrix open_a{a.unpacked.data(), 2 * s.k, s.m, s.k},
      open_b{b.unpacked.data(), 2 * s.k, s.n, s.k};
  race.add("halfbyte bf16",
           [&](int) { gemm<bfloat16, bfloat16, o>(wide_a, wide_b, d, {}, nullptr); });
  race.add("halfbyte fp8 row x column fast",
           [&](int) { gemm<e4m3, e4m3, o>(a.as_fp8(0), b.as_fp8(0), d, outer, nullptr); });
  race.add("halfbyte fp8 row x column promoted", [&](int) {
    gemm<e4m3, e4m3, o>(a.as_fp8(0), b.as_fp8(0), d, outer, nullptr, accumulation::promoted);
  });
  race.add("halfbyte fp8 1x128 x 128x128", [&](int) {
    gemm_blockwise<e4m3, e4m3, o, blockwise::rows_and_tiles>(a.as_fp8(0), a.blocks(), b.as_fp8(0),
                                                             b.blocks(), d, {}, nullptr);
  });
  race.add("halfbyte fp8 1x128 x 1x128", [&](int) {
    gemm_blockwise<e4m3, e4m3, o, blockwise::rows_and_rows>(a.as_fp8(0), a.blocks(), b.as_fp8(0),
                                                            b.blocks(), d, {}, nullptr);
  });
  race.add("halfbyte mxfp4 folded", [&](int) {
    gemm_mxfp4<o>(a.folded(), a.mxfp4(0), b.folded(), b.mxfp4(0), d, {}, nullptr);
  });
  race.add("halfbyte mxfp4 packed", [&](int) {
    fold(a.mxfp4(0), a.folded(), nullptr);
    fold(b.mxfp4(0), b.folded(), nullptr);
    gemm_mxfp4<o>(a.folded(), a.mxfp4(0), b.folded(), b.mxfp4(0), d, {}, nullptr);
  });
  race.add("halfbyte nvfp4 packed", [&](int) {
    unpack<e2m1, 16>(a.as_nvfp4(), a.unpacked.data(), s.k, nullptr);
    unpack<e2m1, 16>(b.as_nvfp4(), b.unpacked.data(), s.k, nullptr);
    gemm<bfloat16, bfloat16, o>(open_a, open_b, d, {}, nullptr);
  });
  const operand_matrix int_a{a.int8.data(), s.k, s.m, s.k}, int_b{b.int8.data(), s.k, s.n, s.k};
  race.add("halfbyte int8", [&](int) { gemm<int8, int8, o>(int_a, int_b, d, outer, nullptr); });
  race.run(9, 4, 0.05);
  check(cudaDeviceSynchronize());
  report(race, "large", s, csv);
}

void small_job(const shape& s, std::FILE* csv) {
  using enum element;
  using peer::scaling;
  const int copies = static_cast<int>((std::size_t{400} << 20) / (static_cast<std::size_t>(s.n) *
                                                                  static_cast<std::size_t>(s.k))) +
                     1;
  forms a(s.m, s.k, 1, false, 1), b(s.n, s.k, copies, false, 2);
  buffer<std::uint8_t> memory(static_cast<std::size_t>(s.m) * static_cast<std::size_t>(s.n) * 4);
  const output_matrix d{memory.data(), s.n, s.m, s.n};
  const epilogue outer{
      1.0f, {a.row_scale.data(), true}, {b.row_scale.data(), true}, nullptr, false};
  const epilogue activations{1.0f, {a.row_scale.data(), true}, {}, nullptr, false};
  bench::race race(nullptr);
  const auto fp8_a = [&](int) -> const void* { return a.fp8.data(); };
  const auto fp8_b = [&](int i) { return b.as_fp8(i).data; };
  add_peer(race, "cuBLASLt fp8 row x column fast", CUDA_R_8F_E4M3, scaling::outer, true, s, fp8_a,
           fp8_b, memory.data(), a.row_scale.data(), b.row_scale.data());
  add_peer(race, "cuBLASLt fp8 tensor fast", CUDA_R_8F_E4M3, scaling::tensor, true, s, fp8_a, fp8_b,
           memory.data(), a.row_scale.data(), b.row_scale.data());
  constexpr output o = output::bfloat16;
  race.add("halfbyte fp8 row x column fast",
           [&](int i) { gemm<e4m3, e4m3, o>(a.as_fp8(0), b.as_fp8(i), d, outer, nullptr); });
  folded_matrix rows = b.folded();
  if (b.unfit_count.to_host()[0] == 0) rows.unfit_count = nullptr;
  if (s.m <= 128)
    race.add("halfbyte packed mxfp4 weights", [&](int i) {
      gemm_packed_weights<o>(a.as_fp8(0), b.mxfp4(i), rows, d, activations, nullptr);
    });
  race.run(15, 24);
  check(cudaDeviceSynchronize());
  report(race, "small", s, csv);
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0)
    return std::printf("skipped: no CUDA device\n"), 77;
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0));
  int driver = 0;
  check(cudaDriverGetVersion(&driver));
  std::printf("%s, driver API %d, runtime %d\n", device.name, driver, CUDART_VERSION);
  std::FILE* csv = argc > 1 ? std::fopen(argv[1], "w") : nullptr;
  if (csv != nullptr) std::fprintf(csv, "job,kernel,m,n,k,microseconds,tflops\n");
  if (argc > 4) {
    small_job({std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4])}, csv);
    return 0;
  }
  for (const shape& s : {shape{4096, 4096, 4096}, shape{8192, 8192, 8192}, shape{8192, 14336, 4096},
                         shape{4096, 4096, 7168}})
    large_job(s, csv);
  for (const shape& s : {shape{16, 8192, 8192}, shape{64, 8192, 8192}, shape{128, 8192, 8192},
                         shape{1, 4096, 4096}, shape{16, 4096, 4096}, shape{128, 2048, 8192},
                         shape{32, 8192, 2048}, shape{100, 2000, 4096}, shape{256, 4096, 4096},
                         shape{512, 4096, 7168}, shape{1000, 4096, 4160}})
    small_job(s, csv);
  if (csv != nullptr) std::fclose(csv);
  return 0;
}
