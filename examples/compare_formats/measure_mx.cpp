#include "measure_in.hpp"

namespace hb = halfbyte;

template measurement measure_in<hb::mxfp6_e2m3>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::mxfp6_e3m2>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::mxfp8_e4m3>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::mxfp8_e5m2>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::mxint8>(hb::matrix_view<const float>, const choice&);
