#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <type_traits>

#include <Eigen/Core>

#include <halfbyte/error.hpp>
#include <halfbyte/gemm.hpp>
#include <halfbyte/hadamard.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/quantize.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/transform.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// Rows one after the other, as every view of this library.
using row_matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A dense Eigen expression: a matrix, an array, a Map, Ref or Block of one, or arithmetic on them.
template <class E>
concept eigen_expression =
    std::derived_from<std::remove_cvref_t<E>, Eigen::DenseBase<std::remove_cvref_t<E>>>;

namespace detail {

template <class E>
inline constexpr bool holds_rows =
    (E::Flags & Eigen::DirectAccessBit) != 0 &&
    (E::ColsAtCompileTime == 1 ||
     ((E::Flags & Eigen::RowMajorBit) != 0 &&
      Eigen::internal::inner_stride_at_compile_time<E>::ret == 1));

}  // namespace detail

/// An Eigen expression that a matrix_view can show: in memory, row-major, each row contiguous. A
/// column vector is one too, whatever its stride.
template <class E>
concept eigen_rows = eigen_expression<E> && detail::holds_rows<std::remove_cvref_t<E>>;

/// A view of an Eigen matrix, Map, Ref or Block, without a copy.
///
/// Column-major matrices have no view; their transposes do: `view(m.transpose())`. Neither has a
/// matrix that dies at the end of the statement.
template <eigen_rows E>
  requires(std::is_lvalue_reference_v<E> ||
           !std::derived_from<std::remove_cvref_t<E>,
                              Eigen::PlainObjectBase<std::remove_cvref_t<E>>>)
auto view(E&& m) {
  const std::ptrdiff_t stride = m.cols() == 1 ? m.rowStride() : m.outerStride();
  return matrix_view{m.data(), std::ptrdiff_t{m.rows()}, std::ptrdiff_t{m.cols()},
                     m.rows() > 1 ? stride : std::ptrdiff_t{m.cols()}};
}

namespace detail {

template <class E>
using scalar_of = typename std::remove_cvref_t<E>::Scalar;

/// The type in which the numbers of E are read: Eigen's own 16-bit floats become floats, exactly.
template <class E>
using number_of =
    std::conditional_t<std::same_as<scalar_of<E>, Eigen::half> ||
                           std::same_as<scalar_of<E>, Eigen::bfloat16>,
                       float, scalar_of<E>>;

template <class E>
using rows_of = Eigen::Matrix<number_of<E>, E::RowsAtCompileTime, E::ColsAtCompileTime,
                              E::ColsAtCompileTime == 1 && E::RowsAtCompileTime != 1
                                  ? Eigen::ColMajor
                                  : Eigen::RowMajor,
                              E::MaxRowsAtCompileTime, E::MaxColsAtCompileTime>;

/// x itself where it can be viewed; else its numbers, evaluated once.
template <eigen_expression E>
decltype(auto) in_rows(const E& x) {
  static_assert(source<number_of<E>>, "elements must be float, double, 16-bit or minifloat");
  if constexpr (eigen_rows<E> && std::same_as<scalar_of<E>, number_of<E>>) {
    return (x);
  } else {
    return rows_of<E>(x.matrix().template cast<number_of<E>>());
  }
}

template <class E>
concept eigen_columns = eigen_rows<Eigen::Transpose<const E>> &&
                        std::same_as<scalar_of<E>, number_of<E>> && !eigen_rows<E>;

}  // namespace detail

/// An expression x [rows, cols] in block format B: `quantize<mxfp4>(a * b + c)`.
///
/// The expression is evaluated once. What lies in memory, row-major or column-major, is not copied.
template <block_format B, rounding Rounding = nearest_even, scale_rule Scale = default_scale<B>,
          eigen_expression E>
quantized<B> quantize(const E& x, Rounding rounding = {}, Scale rule = {},
                      quantize_options options = {}) {
  if constexpr (detail::eigen_columns<E>) {
    return quantize_transposed<B>(view(x.transpose()), rounding, rule, options);
  } else {
    const auto& rows = detail::in_rows(x);
    return quantize<B>(view(rows), rounding, rule, options);
  }
}

/// The transpose of an expression in block format B: the bytes of `quantize<B>(x.transpose())`.
template <block_format B, rounding Rounding = nearest_even, scale_rule Scale = default_scale<B>,
          eigen_expression E>
quantized<B> quantize_transposed(const E& x, Rounding rounding = {}, Scale rule = {},
                                 quantize_options options = {}) {
  if constexpr (detail::eigen_columns<E>) {
    return quantize<B>(view(x.transpose()), rounding, rule, options);
  } else {
    const auto& rows = detail::in_rows(x);
    return quantize_transposed<B>(view(rows), rounding, rule, options);
  }
}

/// The numbers of q as a matrix.
template <block_format B>
row_matrix dequantize(quantized_view<B> q) {
  row_matrix out(q.rows, q.cols);
  dequantize<block_format(B)>(q, view(out));
  return out;
}
template <block_format B>
row_matrix dequantize(const quantized<B>& q) {
  return dequantize<block_format(B)>(q.view());
}

namespace detail {
/// Calls f(view) for the floats of x, or for a matrix of floats that is then cast into it; f finds
/// the numbers of x there if it Reads them.
template <bool Reads, eigen_expression E, class Function>
void with_floats(E& x, const Function& f) {
  if constexpr (eigen_rows<E> && std::same_as<scalar_of<E>, float>) {
    f(view(x));
  } else {
    row_matrix floats(x.rows(), x.cols());
    if constexpr (Reads) floats = x.matrix().template cast<float>();
    f(view(floats));
    x.matrix() = floats.template cast<scalar_of<E>>();
  }
}
}  // namespace detail

/// The numbers of q into a matrix, Map, Ref or Block of any layout and element type; each is the
/// float, then cast. Needs out of q's size: throws std::invalid_argument otherwise.
template <block_format B, eigen_expression E>
void dequantize(const quantized<B>& q, E&& out) {
  detail::with_floats<false>(
      out, [&](matrix_view<float> floats) { dequantize<block_format(B)>(q.view(), floats); });
}

/// An expression through block format B and back: dequantize(quantize<B>(x)), block by block.
template <block_format B, rounding Rounding = nearest_even, scale_rule Scale = default_scale<B>,
          eigen_expression E>
row_matrix fake_quantize(const E& x, Rounding rounding = {}, Scale rule = {},
                         quantize_options options = {}) {
  row_matrix out(x.rows(), x.cols());
  const auto& rows = detail::in_rows(x);
  fake_quantize<B>(view(rows), view(out), rounding, rule, options);
  return out;
}

/// a * b^T as a matrix, or into a matrix, Map, Ref or Block of any layout: see gemm.hpp.
template <block_format A, block_format B>
row_matrix gemm(const quantized<A>& a, const quantized<B>& b) {
  row_matrix d(a.rows(), b.rows());
  gemm<block_format(A), block_format(B)>(a.view(), b.view(), view(d));
  return d;
}
template <block_format A, block_format B, eigen_expression E>
void gemm(const quantized<A>& a, const quantized<B>& b, E&& d) {
  detail::with_floats<false>(d, [&](matrix_view<float> floats) {
    gemm<block_format(A), block_format(B)>(a.view(), b.view(), floats);
  });
}

/// `hadamard` of each n consecutive numbers of each row of a float matrix of any layout, in place.
template <eigen_expression E>
  requires std::same_as<detail::scalar_of<E>, float>
void hadamard(E&& x, int n, sign_vector signs = {}) {
  detail::with_floats<true>(x, [&](matrix_view<float> rows) { hadamard(rows, n, signs); });
}
template <eigen_expression E>
  requires std::same_as<detail::scalar_of<E>, float>
void inverse_hadamard(E&& x, int n, sign_vector signs = {}) {
  detail::with_floats<true>(x, [&](matrix_view<float> rows) { inverse_hadamard(rows, n, signs); });
}

/// Compares expression y with expression x: see error.hpp.
template <eigen_expression X, eigen_expression Y>
error_sums compare(const X& x, const Y& y) {
  const auto& a = detail::in_rows(x);
  const auto& b = detail::in_rows(y);
  return compare(view(a), view(b));
}
template <eigen_expression X, eigen_expression Y>
double mse(const X& x, const Y& y) {
  return compare(x, y).mse();
}
template <eigen_expression X, eigen_expression Y>
double sqnr(const X& x, const Y& y) {
  return compare(x, y).sqnr();
}
template <eigen_expression X, eigen_expression Y>
double cosine(const X& x, const Y& y) {
  return compare(x, y).cosine();
}
template <eigen_expression X, eigen_expression Y>
double misalignment(const X& x, const Y& y) {
  return compare(x, y).misalignment();
}
template <format F = float32, eigen_expression X, eigen_expression Y>
std::int64_t max_ulp(const X& x, const Y& y) {
  const auto& a = detail::in_rows(x);
  const auto& b = detail::in_rows(y);
  return max_ulp<F>(view(a), view(b));
}

namespace detail {

/// An operand of a product: its numbers in floats, and the factor it is multiplied by, which is
/// kept apart so that `alpha * a` is not rounded.
template <class E>
struct float_operand {
  using split = Eigen::internal::blas_traits<E>;

  static auto numbers(const E& x) { return split::extract(x).template cast<float>().eval(); }
  static float factor(const E& x) {
    if constexpr (split::HasScalarFactor) {
      return static_cast<float>(split::extractScalarFactor(x));
    } else {
      return 1.0f;
    }
  }
};

}  // namespace detail

/// The matrix product a * b in floats: operands of any formats, products and sums in float, nothing
/// rounded to the operands' formats. A scalar factor of an operand multiplies the sums.
template <class A, class B>
auto product(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b) {
  using left = detail::float_operand<A>;
  using right = detail::float_operand<B>;
  auto sums = (left::numbers(a.derived()) * right::numbers(b.derived())).eval();
  sums *= left::factor(a.derived()) * right::factor(b.derived());
  return sums;
}

// What Eigen's functions look up by name.
template <format F>
constexpr minifloat<F> abs(minifloat<F> x) {
  return x < minifloat<F>(0) ? -x : x;
}
template <format F>
minifloat<F> sqrt(minifloat<F> x) {
  return minifloat<F>(std::sqrt(static_cast<double>(x)));
}
template <format F>
constexpr bool isnan(minifloat<F> x) {
  return x.is_nan();
}
template <format F>
constexpr bool isinf(minifloat<F> x) {
  return x.is_infinity();
}
template <format F>
constexpr bool isfinite(minifloat<F> x) {
  return x.is_finite();
}

namespace detail {

template <class T>
inline constexpr bool is_minifloat = false;
template <format F>
inline constexpr bool is_minifloat<minifloat<F>> = true;

/// How Eigen multiplies matrices of minifloats: in floats, rounded once when they are stored. What
/// `c.noalias() += a * b` finds in c is added before that; without noalias() Eigen stores the
/// product first.
template <class Lhs, class Rhs>
struct rounded_product {
  using number = typename Lhs::Scalar;

  template <class Out>
  static void evalTo(Out& out, const Lhs& a, const Rhs& b) {
    out = product(a, b).template cast<number>();
  }
  template <class Out>
  static void addTo(Out& out, const Lhs& a, const Rhs& b) {
    out = (out.template cast<float>() + product(a, b)).template cast<number>();
  }
  template <class Out>
  static void subTo(Out& out, const Lhs& a, const Rhs& b) {
    out = (out.template cast<float>() - product(a, b)).template cast<number>();
  }
};

template <class Lhs, class Rhs>
concept minifloat_operands =
    is_minifloat<typename Lhs::Scalar> && is_minifloat<typename Rhs::Scalar>;

}  // namespace detail

}  // namespace halfbyte

namespace Eigen {

template <halfbyte::format F>
struct NumTraits<halfbyte::minifloat<F>> : GenericNumTraits<halfbyte::minifloat<F>> {
  using number = halfbyte::minifloat<F>;
  enum { RequireInitialization = 0 };

  static constexpr number epsilon() { return std::numeric_limits<number>::epsilon(); }
  static constexpr number dummy_precision() { return epsilon(); }
  static constexpr int digits10() { return std::numeric_limits<number>::digits10; }
  static constexpr int max_digits10() { return std::numeric_limits<number>::max_digits10; }
};

namespace internal {

template <halfbyte::format F>
struct cast_impl<half, halfbyte::minifloat<F>> {
  static halfbyte::minifloat<F> run(half x) {
    return halfbyte::minifloat<F>(static_cast<float>(x));
  }
};
template <halfbyte::format F>
struct cast_impl<bfloat16, halfbyte::minifloat<F>> {
  static halfbyte::minifloat<F> run(bfloat16 x) {
    return halfbyte::minifloat<F>(static_cast<float>(x));
  }
};

/// Random(): uniform in float, then rounded.
template <halfbyte::format F>
struct random_impl<halfbyte::minifloat<F>> {
  using number = halfbyte::minifloat<F>;
  static number run() { return number(random<float>()); }
  static number run(number low, number high) {
    return number(random<float>(static_cast<float>(low), static_cast<float>(high)));
  }
};

// Every way in which Eigen multiplies two dense matrices, its sums and its dot product.
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct generic_product_impl<Lhs, Rhs, DenseShape, DenseShape, InnerProduct>
    : halfbyte::detail::rounded_product<Lhs, Rhs> {};
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct generic_product_impl<Lhs, Rhs, DenseShape, DenseShape, OuterProduct>
    : halfbyte::detail::rounded_product<Lhs, Rhs> {};
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct generic_product_impl<Lhs, Rhs, DenseShape, DenseShape, GemvProduct>
    : halfbyte::detail::rounded_product<Lhs, Rhs> {};
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct generic_product_impl<Lhs, Rhs, DenseShape, DenseShape, GemmProduct>
    : halfbyte::detail::rounded_product<Lhs, Rhs> {};
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct generic_product_impl<Lhs, Rhs, DenseShape, DenseShape, CoeffBasedProductMode>
    : halfbyte::detail::rounded_product<Lhs, Rhs> {};
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct generic_product_impl<Lhs, Rhs, DenseShape, DenseShape, LazyCoeffBasedProductMode>
    : halfbyte::detail::rounded_product<Lhs, Rhs> {};

/// A lazy product is evaluated whole, when the expression it stands in is.
template <class Lhs, class Rhs, int Tag>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct product_evaluator<Product<Lhs, Rhs, LazyProduct>, Tag, DenseShape, DenseShape>
    : evaluator<typename Product<Lhs, Rhs, LazyProduct>::PlainObject> {
  using XprType = Product<Lhs, Rhs, LazyProduct>;
  using matrix = typename XprType::PlainObject;
  enum { Flags = evaluator<matrix>::Flags | EvalBeforeNestingBit };

  explicit product_evaluator(const XprType& x)
      : result(halfbyte::product(x.lhs(), x.rhs()).template cast<typename matrix::Scalar>()) {
    ::new (static_cast<evaluator<matrix>*>(this)) evaluator<matrix>(result);
  }

 private:
  matrix result;
};

/// sum(), and what is made of it: in float, rounded once.
template <halfbyte::format F, class Evaluator>
struct redux_traits<scalar_sum_op<halfbyte::minifloat<F>, halfbyte::minifloat<F>>, Evaluator> {
  enum { Traversal = DefaultTraversal, Unrolling = NoUnrolling };
};
template <halfbyte::format F, class Evaluator>
struct redux_impl<scalar_sum_op<halfbyte::minifloat<F>, halfbyte::minifloat<F>>, Evaluator,
                  DefaultTraversal, NoUnrolling> {
  template <class Sum, class XprType>
  static halfbyte::minifloat<F> run(const Evaluator&, const Sum&, const XprType& x) {
    return halfbyte::minifloat<F>(x.template cast<float>().sum());
  }
};

template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
typename Lhs::Scalar minifloat_dot(const MatrixBase<Lhs>& a, const MatrixBase<Rhs>& b) {
  return typename Lhs::Scalar(a.template cast<float>().dot(b.template cast<float>()));
}

#if EIGEN_VERSION_AT_LEAST(5, 0, 0)
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct dot_impl<Lhs, Rhs> {
  static auto run(const MatrixBase<Lhs>& a, const MatrixBase<Rhs>& b) {
    return minifloat_dot(a, b);
  }
};
#else
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct dot_nocheck<Lhs, Rhs, false> {
  static auto run(const MatrixBase<Lhs>& a, const MatrixBase<Rhs>& b) {
    return minifloat_dot(a, b);
  }
};
template <class Lhs, class Rhs>
  requires halfbyte::detail::minifloat_operands<Lhs, Rhs>
struct dot_nocheck<Lhs, Rhs, true> {
  static auto run(const MatrixBase<Lhs>& a, const MatrixBase<Rhs>& b) {
    return minifloat_dot(a, b);
  }
};
#endif

}  // namespace internal
}  // namespace Eigen
