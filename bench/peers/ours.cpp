// Our side of python_peers.py, as a library that Python can call.

#include <cstddef>
#include <cstdint>

#include <halfbyte/convert.hpp>

namespace {

using namespace halfbyte;

template <format F>
void to(const float* x, std::ptrdiff_t n, std::uint8_t* out) {
  encode<F>(matrix_view<const float>{x, 1, n}, out);
}
template <format F>
void from(const std::uint8_t* x, std::ptrdiff_t n, float* out) {
  decode<F>(x, matrix_view<float>{out, 1, n});
}

}  // namespace

extern "C" {
void to_e4m3(const float* x, std::ptrdiff_t n, std::uint8_t* out) { to<e4m3>(x, n, out); }
void to_e5m2(const float* x, std::ptrdiff_t n, std::uint8_t* out) { to<e5m2>(x, n, out); }
void to_e2m1(const float* x, std::ptrdiff_t n, std::uint8_t* out) { to<e2m1>(x, n, out); }
void from_e4m3(const std::uint8_t* x, std::ptrdiff_t n, float* out) { from<e4m3>(x, n, out); }
void from_e5m2(const std::uint8_t* x, std::ptrdiff_t n, float* out) { from<e5m2>(x, n, out); }
void from_e2m1(const std::uint8_t* x, std::ptrdiff_t n, float* out) { from<e2m1>(x, n, out); }
}
