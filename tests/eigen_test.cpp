#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <halfbyte/eigen.hpp>
#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

#include "exact.hpp"

namespace hb = halfbyte;
using hb::float8_e4m3;

namespace {

template <class T>
using rows_of = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using columns_of = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;
template <class T>
using vector_of = Eigen::Matrix<T, Eigen::Dynamic, 1>;

hb::row_matrix gaussian(Eigen::Index rows, Eigen::Index cols, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  return hb::row_matrix::NullaryExpr(rows, cols, [&] { return normal(random); });
}

/// The product as a plain loop: each product of two numbers exact, the sum in double.
template <class A, class B>
Eigen::MatrixXd plain_product(const A& a, const B& b) {
  Eigen::MatrixXd d = Eigen::MatrixXd::Zero(a.rows(), b.cols());
  for (Eigen::Index i = 0; i < a.rows(); ++i) {
    for (Eigen::Index j = 0; j < b.cols(); ++j) {
      for (Eigen::Index k = 0; k < a.cols(); ++k) {
        d(i, j) += static_cast<double>(a(i, k)) * static_cast<double>(b(k, j));
      }
    }
  }
  return d;
}

/// Numbers 1/16 ... 1 whose products and sums a float holds exactly, in any order of summing.
template <class T, class M = columns_of<T>>
M small_integers(Eigen::Index rows, Eigen::Index cols, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return M::NullaryExpr(rows, cols, [&] {
    return T(static_cast<double>(static_cast<int>(random() % 15) - 7) / 8);
  });
}

/// Whether `found` is `sums` rounded once to its element type.
template <class M>
bool rounded_once(const M& found, const Eigen::MatrixXd& sums) {
  using number = typename M::Scalar;
  if (found.rows() != sums.rows() || found.cols() != sums.cols()) return false;
  for (Eigen::Index i = 0; i < sums.rows(); ++i) {
    for (Eigen::Index j = 0; j < sums.cols(); ++j) {
      if (found(i, j) != number(sums(i, j))) return false;
    }
  }
  return true;
}

template <class E, class... Arguments>
concept has_view = requires(E&& e) { hb::view(std::forward<E>(e)); };

}  // namespace

static_assert(has_view<hb::row_matrix&>);
static_assert(has_view<const hb::row_matrix&>);
static_assert(!has_view<hb::row_matrix>);                       // it would die too early
static_assert(!has_view<Eigen::MatrixXf&>);                     // column-major
static_assert(has_view<Eigen::Transpose<Eigen::MatrixXf>>);
static_assert(has_view<Eigen::VectorXf&> && has_view<Eigen::RowVectorXf&>);
static_assert(has_view<Eigen::Map<const hb::row_matrix>>);
static_assert(has_view<Eigen::Ref<hb::row_matrix>&>);
static_assert(has_view<Eigen::Block<hb::row_matrix>>);
static_assert(!has_view<Eigen::Map<hb::row_matrix, 0, Eigen::Stride<-1, -1>>&>);
static_assert(!has_view<decltype(std::declval<hb::row_matrix&>() * 2.0f)>);

TEST_CASE("a view of a matrix, block, map or transpose has the same elements in the same place") {
  hb::row_matrix m = gaussian(7, 9, 1);
  const auto same = [](auto&& e) {
    const auto v = hb::view(e);
    bool equal = v.rows == e.rows() && v.cols == e.cols();
    for (Eigen::Index i = 0; equal && i < e.rows(); ++i) {
      for (Eigen::Index j = 0; equal && j < e.cols(); ++j) equal = &v(i, j) == &e.coeffRef(i, j);
    }
    return equal;
  };
  CHECK(same(m));
  auto block = m.block(2, 3, 4, 5);
  CHECK(same(block));
  auto row = m.row(3);
  CHECK(same(row));
  auto column = m.col(4);
  CHECK(same(column));
  Eigen::Map<rows_of<float>, 0, Eigen::OuterStride<>> map(m.data(), 3, 4, Eigen::OuterStride<>(11));
  CHECK(same(map));
  Eigen::Ref<hb::row_matrix> ref = m;
  CHECK(same(ref));
  columns_of<double> c = m.cast<double>();
  auto transposed = c.transpose();
  CHECK(same(transposed));
  Eigen::Array<float, 4, 6, Eigen::RowMajor> array = m.topLeftCorner(4, 6).array();
  CHECK(same(array));
  vector_of<float> vector = m.col(0);
  CHECK(same(vector));
  static_assert(std::is_same_v<decltype(hb::view(m)), hb::matrix_view<float>>);
  static_assert(
      std::is_same_v<decltype(hb::view(std::as_const(m))), hb::matrix_view<const float>>);
  static_assert(std::is_same_v<decltype(hb::view(c.transpose())), hb::matrix_view<double>>);
  static_assert(std::is_same_v<decltype(hb::view(std::as_const(c).transpose())),
                               hb::matrix_view<const double>>);
}

TEST_CASE("quantize gives the same bytes for every layout and form of the same numbers") {
  const hb::row_matrix x = gaussian(37, 70, 2);
  const auto expected = hb::quantize<hb::nvfp4>(hb::view(x));
  CHECK(hb::quantize<hb::nvfp4>(x) == expected);
  CHECK(hb::quantize<hb::nvfp4>(Eigen::MatrixXf(x)) == expected);
  CHECK(hb::quantize<hb::nvfp4>(Eigen::MatrixXd(x.cast<double>())) == expected);
  CHECK(hb::quantize<hb::nvfp4>(x.array()) == expected);
  CHECK(hb::quantize<hb::nvfp4>(Eigen::ArrayXXf(x)) == expected);
  CHECK(hb::quantize<hb::nvfp4>(x * 1.0f) == expected);
  CHECK(hb::quantize<hb::nvfp4>(x.transpose().eval().transpose()) == expected);
  hb::row_matrix wide(37, 200);
  wide.middleCols(50, 70) = x;
  CHECK(hb::quantize<hb::nvfp4>(wide.middleCols(50, 70)) == expected);
  Eigen::MatrixXf tall(100, 70);
  tall.middleRows(20, 37) = x;
  CHECK(hb::quantize<hb::nvfp4>(tall.middleRows(20, 37)) == expected);
  CHECK(hb::quantize<hb::nvfp4>(Eigen::Map<const hb::row_matrix>(x.data(), 37, 70)) == expected);
  std::vector<float> sparse(37 * 70 * 3);
  Eigen::Map<hb::row_matrix, 0, Eigen::Stride<-1, -1>> strided(sparse.data(), 37, 70,
                                                               Eigen::Stride<-1, -1>(210, 3));
  strided = x;
  CHECK(hb::quantize<hb::nvfp4>(strided) == expected);
  const auto call = [&](const Eigen::Ref<const Eigen::MatrixXf>& r) {
    return hb::quantize<hb::nvfp4>(r);
  };
  CHECK(call(Eigen::MatrixXf(x)) == expected);
}

TEST_CASE("quantize of a vector is that of a matrix of one row or one column") {
  const hb::row_matrix x = gaussian(5, 64, 3);
  const Eigen::RowVectorXf row = x.row(1);
  CHECK(hb::quantize<hb::mxfp4>(row) == hb::quantize<hb::mxfp4>(hb::view(x).block(1, 0, 1, 64)));
  CHECK(hb::quantize<hb::mxfp4>(Eigen::MatrixXf(x).row(1)) == hb::quantize<hb::mxfp4>(row));
  const Eigen::VectorXf column = x.col(2);
  CHECK(hb::quantize<hb::mxfp4>(column) == hb::quantize<hb::mxfp4>(hb::view(x).block(0, 2, 5, 1)));
  CHECK(hb::quantize<hb::mxfp4>(x.col(2)) == hb::quantize<hb::mxfp4>(column));
  const Eigen::Matrix<float, 1, 1> one{3.0f};
  CHECK(hb::dequantize(hb::quantize<hb::mxfp4>(one))(0, 0) == 3.0f);
}

TEST_CASE("stochastic rounding draws by the place in the matrix, not in memory") {
  const hb::row_matrix x = gaussian(33, 50, 4);
  const hb::stochastic<> rounding{7, 1};
  const auto expected = hb::quantize<hb::mxfp4>(hb::view(x), rounding);
  CHECK(hb::quantize<hb::mxfp4>(Eigen::MatrixXf(x), rounding) == expected);
  CHECK(hb::quantize<hb::mxfp4>(x + hb::row_matrix::Zero(33, 50), rounding) == expected);
}

TEST_CASE("rounding, scale rule and options reach quantize through every form") {
  const hb::row_matrix x = gaussian(16, 64, 5);
  const hb::quantize_options options{hb::scale_layout::swizzled_128x4, 0.125f};
  const auto expected = hb::quantize<hb::nvfp4>(hb::view(x), hb::upward{}, hb::ceil_pow2{}, options);
  const Eigen::MatrixXf columns = x;
  CHECK(hb::quantize<hb::nvfp4>(x, hb::upward{}, hb::ceil_pow2{}, options) == expected);
  CHECK(hb::quantize<hb::nvfp4>(columns, hb::upward{}, hb::ceil_pow2{}, options) == expected);
  CHECK(hb::quantize<hb::nvfp4>(x + x - x, hb::upward{}, hb::ceil_pow2{}, options) ==
        hb::quantize<hb::nvfp4>((x + x - x).eval(), hb::upward{}, hb::ceil_pow2{}, options));
  CHECK(hb::quantize_transposed<hb::nvfp4>(columns.transpose(), hb::upward{}, hb::ceil_pow2{},
                                           options) == expected);
}

TEST_CASE("quantize_transposed is quantize of the transpose") {
  const hb::row_matrix x = gaussian(40, 70, 6);
  const Eigen::MatrixXf columns = x;
  const hb::row_matrix t = x.transpose();
  const auto expected = hb::quantize<hb::mxfp8_e4m3>(hb::view(t));
  CHECK(hb::quantize_transposed<hb::mxfp8_e4m3>(x) == expected);
  CHECK(hb::quantize_transposed<hb::mxfp8_e4m3>(columns) == expected);
  CHECK(hb::quantize_transposed<hb::mxfp8_e4m3>(x * 1.0f) == expected);
  CHECK(hb::quantize<hb::mxfp8_e4m3>(x.transpose()) == expected);
  CHECK(hb::quantize<hb::mxfp8_e4m3>(columns.transpose()) == expected);
}

TEST_CASE("bfloat16, half and minifloat matrices are quantized from their exact numbers") {
  const hb::row_matrix x = gaussian(20, 64, 7);
  const rows_of<Eigen::bfloat16> b = x.cast<Eigen::bfloat16>();
  CHECK(hb::quantize<hb::mxfp4>(b) == hb::quantize<hb::mxfp4>(b.cast<float>()));
  const columns_of<Eigen::half> h = x.cast<Eigen::half>();
  CHECK(hb::quantize<hb::mxfp4>(h) == hb::quantize<hb::mxfp4>(h.cast<float>()));
  const rows_of<hb::minifloat<hb::bfloat16>> m = x.cast<hb::minifloat<hb::bfloat16>>();
  CHECK(hb::quantize<hb::mxfp4>(m) == hb::quantize<hb::mxfp4>(b));
  const columns_of<float8_e4m3> e = x.cast<float8_e4m3>();
  CHECK(hb::quantize<hb::mxfp4>(e) == hb::quantize<hb::mxfp4>(e.cast<float>()));
}

TEST_CASE("an expression is evaluated once, each element one time") {
  const Eigen::MatrixXf x = gaussian(10, 32, 8);
  int calls = 0;
  const auto counted = x.unaryExpr([&calls](float v) {
    ++calls;
    return 2 * v;
  });
  const auto q = hb::quantize<hb::nvfp4>(counted);
  CHECK(calls == 320);
  CHECK(q == hb::quantize<hb::nvfp4>(2 * x));
  calls = 0;
  hb::quantize_transposed<hb::nvfp4>(counted);
  CHECK(calls == 320);
  calls = 0;
  hb::fake_quantize<hb::nvfp4>(counted);
  CHECK(calls == 320);
  calls = 0;
  hb::sqnr(counted, x);
  CHECK(calls == 320);
  calls = 0;
  hb::product(counted, x.transpose());
  CHECK(calls == 320);
}

TEST_CASE("dequantize fills matrices of every layout, and returns one") {
  const hb::row_matrix x = gaussian(11, 50, 9);
  const auto q = hb::quantize<hb::mxfp6_e2m3>(x);
  hb::row_matrix expected(11, 50);
  hb::dequantize(q, hb::view(expected));
  CHECK(hb::dequantize(q) == expected);
  CHECK(hb::dequantize(q.view()) == expected);
  hb::row_matrix rows(11, 50);
  hb::dequantize(q, rows);
  CHECK(rows == expected);
  Eigen::MatrixXf columns(11, 50);
  hb::dequantize(q, columns);
  CHECK(columns == expected);
  Eigen::MatrixXd doubles(11, 50);
  hb::dequantize(q, doubles);
  CHECK(doubles == expected.cast<double>());
  hb::row_matrix large = hb::row_matrix::Constant(20, 60, 5);
  hb::dequantize(q, large.block(3, 4, 11, 50));
  CHECK(large.block(3, 4, 11, 50) == expected);
  large.block(3, 4, 11, 50).setConstant(5);
  CHECK((large.array() == 5).all());
  Eigen::ArrayXXf array(11, 50);
  hb::dequantize(q, array);
  CHECK(array.matrix() == expected);
  columns_of<float8_e4m3> minifloats(11, 50);
  hb::dequantize(q, minifloats);
  CHECK(minifloats == expected.cast<float8_e4m3>());
}

TEST_CASE("dequantize into a matrix of another size throws and leaves it as it was") {
  const auto q = hb::quantize<hb::mxfp4>(gaussian(4, 32, 10));
  hb::row_matrix rows(4, 31);
  CHECK_THROWS_AS(hb::dequantize(q, rows), std::invalid_argument);
  Eigen::MatrixXf columns(3, 32);
  CHECK_THROWS_AS(hb::dequantize(q, columns), std::invalid_argument);
  CHECK(columns.rows() == 3);
}

TEST_CASE("fake_quantize of an expression is dequantize of quantize") {
  const hb::row_matrix x = gaussian(9, 100, 11);
  const auto q = hb::quantize<hb::nvfp4>(x, hb::stochastic<>{3}, hb::four_over_six{});
  const hb::row_matrix expected = hb::dequantize(q);
  CHECK(hb::fake_quantize<hb::nvfp4>(x, hb::stochastic<>{3}, hb::four_over_six{}) == expected);
  CHECK(hb::fake_quantize<hb::nvfp4>(Eigen::MatrixXf(x), hb::stochastic<>{3},
                                     hb::four_over_six{}) == expected);
  CHECK(hb::fake_quantize<hb::nvfp4>(x + 0 * x, hb::stochastic<>{3}, hb::four_over_six{}) ==
        expected);
}

TEST_CASE("empty matrices quantize to nothing and back") {
  const hb::row_matrix none(0, 32);
  const Eigen::MatrixXf narrow(5, 0);
  CHECK(hb::dequantize(hb::quantize<hb::mxfp4>(none)).rows() == 0);
  CHECK(hb::dequantize(hb::quantize<hb::mxfp4>(narrow)).rows() == 5);
  CHECK(hb::fake_quantize<hb::mxfp4>(narrow).cols() == 0);
}

TEST_CASE("errors of expressions are those of their views") {
  const hb::row_matrix x = gaussian(30, 40, 12), y = x + 0.01f * gaussian(30, 40, 13);
  const auto a = hb::view(x), b = hb::view(y);
  CHECK(hb::mse(x, y) == hb::mse(a, b));
  CHECK(hb::sqnr(Eigen::MatrixXf(x), y) == hb::sqnr(a, b));
  CHECK(hb::cosine(x.array(), Eigen::MatrixXf(y)) == hb::cosine(a, b));
  CHECK(hb::misalignment(x, y * 1.0f) == hb::misalignment(a, b));
  CHECK(hb::max_ulp<hb::e4m3>(x, Eigen::MatrixXf(y)) == hb::max_ulp<hb::e4m3>(a, b));
  CHECK(hb::mse(x.cast<double>(), y.cast<double>()) == hb::mse(a, b));
  CHECK_THROWS_AS(hb::mse(x, y.transpose()), std::invalid_argument);
}

TEST_CASE("cast to a minifloat rounds each element as encode, and back is exact") {
  const hb::row_matrix x = 100 * gaussian(20, 20, 14);
  const rows_of<float8_e4m3> m = x.cast<float8_e4m3>();
  const hb::row_matrix back = m.cast<float>();
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    CHECK(m.data()[i].pattern == hb::encode<hb::e4m3>(x.data()[i]));
    CHECK(back.data()[i] == hb::decode<hb::e4m3>(m.data()[i].pattern));
  }
  CHECK(m.cast<double>() == back.cast<double>());
  const rows_of<hb::float8_e5m2> n = m.cast<hb::float8_e5m2>();
  CHECK(n(3, 4).pattern == hb::encode<hb::e5m2>(m(3, 4)));
  CHECK(x.cast<Eigen::half>().cast<float8_e4m3>().cast<float>() ==
        x.cast<Eigen::half>().cast<float>().cast<float8_e4m3>().cast<float>());
  CHECK(m.cast<Eigen::bfloat16>().cast<float>() == back);
}

TEST_CASE("matrices of minifloats add, compare, reduce and fill as Eigen matrices do") {
  using matrix = columns_of<float8_e4m3>;
  CHECK(matrix::Zero(3, 3).cast<float>() == Eigen::MatrixXf::Zero(3, 3));
  CHECK(matrix::Identity(3, 3).cast<float>() == Eigen::MatrixXf::Identity(3, 3));
  const matrix a = gaussian(6, 6, 15).cast<float8_e4m3>(), b = gaussian(6, 6, 16).cast<float8_e4m3>();
  CHECK((a + b).cast<float>() ==
        (a.cast<float>() + b.cast<float>()).cast<float8_e4m3>().cast<float>());
  CHECK((-a).cast<float>() == -a.cast<float>());
  CHECK(a.cwiseAbs().cast<float>() == a.cast<float>().cwiseAbs());
  CHECK(static_cast<float>(a.maxCoeff()) == a.cast<float>().maxCoeff());
  CHECK(static_cast<float>(a.cwiseAbs().minCoeff()) == a.cast<float>().cwiseAbs().minCoeff());
  CHECK(a.allFinite());
  matrix c = a;
  c(2, 3) = float8_e4m3::from_pattern(0x7f);
  CHECK_FALSE(c.allFinite());
  CHECK(c.hasNaN());
  CHECK(a.isApprox(a));
}

TEST_CASE("Random fills a matrix of minifloats between -1 and 1, not with one number") {
  const columns_of<float8_e4m3> m = columns_of<float8_e4m3>::Random(30, 30);
  const Eigen::MatrixXf x = m.cast<float>();
  CHECK(x.cwiseAbs().maxCoeff() <= 1);
  CHECK(x.maxCoeff() > 0.8f);
  CHECK(x.minCoeff() < -0.8f);
  CHECK(std::abs(x.mean()) < 0.2f);
}

TEST_CASE("NumTraits has what numeric_limits has") {
  using traits = Eigen::NumTraits<float8_e4m3>;
  static_assert(!traits::IsComplex && !traits::IsInteger && traits::IsSigned);
  static_assert(!traits::RequireInitialization);
  static_assert(Eigen::NumTraits<hb::minifloat<hb::int8>>::IsInteger);
  static_assert(!Eigen::NumTraits<hb::float8_ue8m0>::IsSigned);
  CHECK(static_cast<float>(traits::highest()) == 448);
  CHECK(static_cast<float>(traits::lowest()) == -448);
  CHECK(static_cast<float>(traits::epsilon()) == 0.125f);
}

// 256 ones: e4m3 holds 256, but sums of its own stop at 16, where 16 + 1 rounds back to 16.
TEST_CASE("sums of products do not stall where sums in the format would") {
  using matrix = columns_of<float8_e4m3>;
  float8_e4m3 stalled(0);
  for (int i = 0; i < 256; ++i) stalled += float8_e4m3(1) * float8_e4m3(1);
  CHECK(static_cast<float>(stalled) == 16);

  const matrix a = matrix::Ones(4, 256), b = matrix::Ones(256, 4);
  const vector_of<float8_e4m3> v = vector_of<float8_e4m3>::Ones(256);
  const float8_e4m3 all(256);
  const matrix gemm = a * b;
  CHECK(gemm == matrix::Constant(4, 4, all));
  const vector_of<float8_e4m3> gemv = a * v;
  CHECK(gemv == vector_of<float8_e4m3>::Constant(4, all));
  const float8_e4m3 inner = v.transpose() * v;
  CHECK(inner == all);
  CHECK(v.dot(v) == all);
  CHECK(v.transpose().dot(v) == all);
  CHECK(a.row(0).dot(v) == all);
  CHECK((a.lazyProduct(b)).eval() == matrix::Constant(4, 4, all));
  CHECK((a * b).diagonal().eval() == vector_of<float8_e4m3>::Constant(4, all));
  CHECK((a * b)(1, 2) == all);
  const Eigen::Matrix<float8_e4m3, 2, 256> fixed_a = a.topRows(2);
  const Eigen::Matrix<float8_e4m3, 256, 2> fixed_b = b.leftCols(2);
  const Eigen::Matrix<float8_e4m3, 2, 2> fixed = fixed_a * fixed_b;
  CHECK(fixed == matrix::Constant(2, 2, all));
  CHECK((fixed_a * v).eval() == vector_of<float8_e4m3>::Constant(2, all));
  CHECK(hb::product(a, b) == Eigen::MatrixXf::Constant(4, 4, 256));
}

TEST_CASE("sums of the elements are taken in float and rounded once") {
  const auto a = small_integers<float8_e4m3>(31, 40, 27);
  const Eigen::MatrixXf x = a.cast<float>();
  CHECK(a.sum() == float8_e4m3(x.sum()));
  CHECK(a.transpose().array().sum() == float8_e4m3(x.sum()));
  CHECK(a.block(1, 2, 20, 30).sum() == float8_e4m3(x.block(1, 2, 20, 30).sum()));
  CHECK((a + a).sum() == float8_e4m3(2 * x.sum()));
  CHECK(a.trace() == float8_e4m3(x.trace()));
  const Eigen::Matrix<float8_e4m3, 1, Eigen::Dynamic> columns = a.colwise().sum();
  const Eigen::RowVectorXf expected = x.colwise().sum();
  CHECK(columns == expected.cast<float8_e4m3>());
  const Eigen::Matrix<float8_e4m3, 4, 4> fixed = a.block<4, 4>(3, 3);
  CHECK(fixed.sum() == float8_e4m3(x.block<4, 4>(3, 3).sum()));
  CHECK(static_cast<float>(vector_of<float8_e4m3>::Ones(256).sum()) == 256);
}

TEST_CASE("every kind of product of minifloats is the exact sum rounded once") {
  using T = float8_e4m3;
  const auto a = small_integers<T>(23, 70, 17), b = small_integers<T>(70, 19, 18);
  const rows_of<T> a_rows = a, b_rows = b;
  const Eigen::MatrixXd sums = plain_product(a, b);
  columns_of<T> c = a * b;
  CHECK(rounded_once(c, sums));
  c = a_rows * b_rows;
  CHECK(rounded_once(c, sums));
  rows_of<T> c_rows = a * b_rows;
  CHECK(rounded_once(c_rows, sums));
  c_rows.noalias() = a_rows * b;
  CHECK(rounded_once(c_rows, sums));
  c = a.lazyProduct(b);
  CHECK(rounded_once(c, sums));
  c = a.block(1, 2, 20, 60) * b.block(2, 3, 60, 10);
  CHECK(rounded_once(c, plain_product(a.block(1, 2, 20, 60), b.block(2, 3, 60, 10))));
  c = b.transpose() * a.transpose();
  CHECK(rounded_once(c, sums.transpose()));
  CHECK(hb::product(a, b).template cast<double>() == sums);

  const vector_of<T> v = b.col(3);
  vector_of<T> u = a * v;
  CHECK(rounded_once(u, plain_product(a, v)));
  u = a_rows * v;
  CHECK(rounded_once(u, plain_product(a, v)));
  Eigen::Matrix<T, 1, Eigen::Dynamic> r = v.transpose() * b;
  CHECK(rounded_once(r, plain_product(v.transpose(), b)));

  c = a.col(0) * b.row(0);
  CHECK(rounded_once(c, plain_product(a.col(0), b.row(0))));
  c_rows = a.col(0) * b.row(0);
  CHECK(rounded_once(c_rows, plain_product(a.col(0), b.row(0))));
  columns_of<T> one = a.row(0) * v;
  CHECK(rounded_once(one, plain_product(a.row(0), v)));
  const Eigen::Matrix<T, 3, 4> small_a = a.block<3, 4>(0, 0);
  const Eigen::Matrix<T, 4, 2> small_b = b.block<4, 2>(0, 0);
  const Eigen::Matrix<T, 3, 2> small_c = small_a * small_b;
  CHECK(rounded_once(small_c, plain_product(small_a, small_b)));
}

TEST_CASE("noalias += and -= of a product add in float and round once") {
  using T = float8_e4m3;
  const auto a = small_integers<T>(9, 40, 19), b = small_integers<T>(40, 8, 20);
  const auto start = small_integers<T>(9, 8, 21);
  const Eigen::MatrixXd before = start.template cast<double>();
  const Eigen::MatrixXd sums = plain_product(a, b);
  columns_of<T> c = start;
  c.noalias() += a * b;
  CHECK(rounded_once(c, before + sums));
  c = start;
  c.noalias() -= a * b;
  CHECK(rounded_once(c, before - sums));
  c = start + a * b;
  CHECK(rounded_once(c, before + sums));
  c = start;
  c.noalias() += a.lazyProduct(b);
  CHECK(c.allFinite());
  c = start;
  c.block(0, 0, 9, 8).noalias() += a * b;
  CHECK(rounded_once(c, before + sums));
  c = start;
  c.noalias() += a.col(0) * b.row(0);
  CHECK(rounded_once(c, before + plain_product(a.col(0), b.row(0))));
  c = start;
  c.col(2).noalias() += a * b.col(2);
  CHECK(rounded_once(columns_of<T>(c.col(2)), before.col(2) + sums.col(2)));

  // The sum that 1 + 1/16 + 1/16 needs: neither half alone moves 1 in e4m3.
  columns_of<T> one = columns_of<T>::Ones(1, 1);
  const columns_of<T> quarter = columns_of<T>::Constant(1, 2, T(0.25));
  one.noalias() += quarter * quarter.transpose();
  CHECK(static_cast<float>(one(0, 0)) == 1.125f);
}

TEST_CASE("+= without noalias rounds the product first, since Eigen makes a matrix of it") {
  using T = float8_e4m3;
  const auto a = small_integers<T>(9, 40, 19), b = small_integers<T>(40, 8, 20);
  const auto start = small_integers<T>(9, 8, 21);
  const columns_of<T> product = a * b;
  columns_of<T> c = start;
  c += a * b;
  CHECK(rounded_once(c, start.template cast<double>() + product.template cast<double>()));
}

TEST_CASE("a square matrix may be its own operand") {
  using T = float8_e4m3;
  columns_of<T> a = small_integers<T>(12, 12, 22);
  const Eigen::MatrixXd sums = plain_product(a, a);
  a = a * a;
  CHECK(rounded_once(a, sums));
}

TEST_CASE("a scalar factor multiplies the sums and is not rounded into an operand") {
  using T = float8_e4m3;
  const auto a = small_integers<T>(6, 30, 23), b = small_integers<T>(30, 5, 24);
  const Eigen::MatrixXd sums = plain_product(a, b);
  const T third(1.0 / 3);
  const double exact_third = static_cast<double>(third);
  columns_of<T> c = third * (a * b);
  CHECK(rounded_once(c, exact_third * sums));
  c = (third * a) * b;
  CHECK(rounded_once(c, exact_third * sums));
  c = -a * b;
  CHECK(rounded_once(c, -sums));
  CHECK(hb::product(a, -b).template cast<double>() == -sums);
}

TEST_CASE("products of every small format, of 16-bit formats and of mixed ones are float sums") {
  const auto check = []<hb::format F, hb::format G>() {
    const auto a = small_integers<hb::minifloat<F>>(5, 30, 25);
    const auto b = small_integers<hb::minifloat<G>>(30, 4, 26);
    CHECK(hb::product(a, b).template cast<double>() == plain_product(a, b));
    if constexpr (F == G) {
      const columns_of<hb::minifloat<F>> c = a * b;
      CHECK(rounded_once(c, plain_product(a, b)));
      CHECK(a.row(0).dot(b.col(0)) == hb::minifloat<F>(plain_product(a, b)(0, 0)));
    }
  };
  check.operator()<hb::e2m1, hb::e2m1>();
  check.operator()<hb::e2m3, hb::e2m3>();
  check.operator()<hb::e3m2, hb::e3m2>();
  check.operator()<hb::e5m2, hb::e5m2>();
  check.operator()<hb::e4m3fnuz, hb::e4m3fnuz>();
  check.operator()<hb::fixed8, hb::fixed8>();
  check.operator()<hb::bfloat16, hb::bfloat16>();
  check.operator()<hb::float16, hb::float16>();
  check.operator()<hb::e4m3, hb::e5m2>();
  check.operator()<hb::e2m1, hb::bfloat16>();
}

TEST_CASE("a sum beyond the format saturates, and a NaN in an operand is a NaN in its sums") {
  using matrix = columns_of<float8_e4m3>;
  const matrix a = matrix::Constant(2, 100, float8_e4m3(10));
  matrix c = a * a.transpose();
  CHECK(static_cast<float>(c(0, 0)) == 448);
  CHECK(hb::product(a, a.transpose())(0, 0) == 10000);
  matrix b = a;
  b(1, 7) = float8_e4m3::from_pattern(0x7f);
  c = b * a.transpose();
  CHECK(static_cast<float>(c(0, 0)) == 448);
  CHECK(c(1, 0).is_nan());
  CHECK(c(1, 1).is_nan());
}

TEST_CASE("an empty sum is zero") {
  using matrix = columns_of<float8_e4m3>;
  const matrix a(3, 0), b(0, 2);
  const matrix c = a * b;
  CHECK(c == matrix::Zero(3, 2));
  CHECK(hb::product(a, b) == Eigen::MatrixXf::Zero(3, 2));
}

TEST_CASE("gemm and hadamard take matrices of every layout, with the bits of their views") {
  hb::row_matrix x = hb::row_matrix::Random(6, 64), y = hb::row_matrix::Random(5, 64);
  const auto a = hb::quantize<hb::mxfp4>(x);
  const auto b = hb::quantize<hb::nvfp4>(y);
  hb::row_matrix expected(6, 5);
  hb::gemm(a, b, hb::view(expected));
  Eigen::MatrixXf columns(6, 5);
  Eigen::MatrixXd wide(6, 5);
  hb::row_matrix large = hb::row_matrix::Zero(8, 9);
  hb::gemm(a, b, columns);
  hb::gemm(a, b, wide);
  hb::gemm(a, b, large.block(1, 2, 6, 5));
  CHECK(hb::gemm(a, b) == expected);
  CHECK(columns == expected);
  CHECK(wide == expected.cast<double>());
  CHECK(large.block(1, 2, 6, 5) == expected);
  CHECK(large.row(0).isZero(0));
  CHECK_THROWS_AS(hb::gemm(a, b, Eigen::MatrixXf(5, 6)), std::invalid_argument);

  const std::uint8_t bits[8] = {0x35, 0x0f, 0, 0xff, 1, 2, 3, 4};
  hb::row_matrix rows = x;
  Eigen::MatrixXf turned = x;
  hb::hadamard(hb::view(rows), 32, {bits});
  hb::row_matrix again = x;
  hb::hadamard(again, 32, {bits});
  hb::hadamard(turned, 32, {bits});
  CHECK(again == rows);
  CHECK(turned == rows);
  hb::inverse_hadamard(hb::view(rows), 32, {bits});
  hb::inverse_hadamard(turned, 32, {bits});
  CHECK(turned == rows);
  CHECK_THROWS_AS(hb::hadamard(turned, 48), std::invalid_argument);
}
