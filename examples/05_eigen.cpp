// Eigen matrices and expressions, in and out.

#include <iostream>
#include <random>

#include <halfbyte/eigen.hpp>
#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

namespace hb = halfbyte;

int main() {
  std::mt19937_64 random(5);
  std::normal_distribution<float> gaussian;
  const auto draw = [&] { return gaussian(random); };
  const Eigen::MatrixXf x = Eigen::MatrixXf::NullaryExpr(128, 256, draw);
  const Eigen::MatrixXf w = Eigen::MatrixXf::NullaryExpr(256, 64, draw) / 16;

  // Any expression is quantized, evaluated once; any layout; the result is a matrix again.
  const auto q = hb::quantize<hb::mxfp8_e4m3>(x.cwiseMax(0.0f) * 0.5f);
  const hb::row_matrix back = hb::dequantize(q);
  std::cout << q << "\ncosine " << hb::cosine(x.cwiseMax(0.0f), back) << '\n';

  // What a layer computes when both operands go through nvfp4 along the axis that is summed over.
  const Eigen::MatrixXf y = x * w;
  const Eigen::MatrixXf y4 =
      hb::fake_quantize<hb::nvfp4>(x) * hb::fake_quantize<hb::nvfp4>(w.transpose()).transpose();
  std::cout << "SQNR of x * w in nvfp4: " << hb::sqnr(y, y4) << " dB\n";

  // A matrix of minifloats: products sum in float and are rounded once, never on the way.
  using matrix8 = Eigen::Matrix<hb::float8_e4m3, Eigen::Dynamic, Eigen::Dynamic>;
  const matrix8 ones = matrix8::Ones(2, 256);
  const matrix8 c = ones * ones.transpose();
  hb::float8_e4m3 stalled(0);
  for (int i = 0; i < 256; ++i) stalled += hb::float8_e4m3(1);
  std::cout << "256 ones by Eigen: " << hb::decimal(c(0, 0))
            << ", added up in e4m3: " << hb::decimal(stalled) << '\n';
}

// Prints:
// mxfp8_e4m3 128 x 256, 33792 bytes
// cosine 0.99949
// SQNR of x * w in nvfp4: 17.3339 dB
// 256 ones by Eigen: 256, added up in e4m3: 16
