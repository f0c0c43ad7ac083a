#include "measure_in.hpp"

namespace hb = halfbyte;

template measurement measure_in<hb::fp8_1x128>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::fp8_128x128>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::per_column(hb::e4m3)>(hb::matrix_view<const float>,
                                                          const choice&);
template measurement measure_in<hb::per_tensor(hb::e4m3)>(hb::matrix_view<const float>,
                                                          const choice&);
template measurement measure_in<hb::per_tensor(hb::e5m2)>(hb::matrix_view<const float>,
                                                          const choice&);
