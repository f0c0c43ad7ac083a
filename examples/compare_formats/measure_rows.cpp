#include "measure_in.hpp"

namespace hb = halfbyte;

template measurement measure_in<hb::per_row(hb::e2m1)>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::per_row(hb::e4m3)>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::per_row(hb::int8)>(hb::matrix_view<const float>, const choice&);
