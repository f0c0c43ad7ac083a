#include "measure_in.hpp"

namespace hb = halfbyte;

template measurement measure_in<hb::nvfp4>(hb::matrix_view<const float>, const choice&);
template measurement measure_in<hb::nvfp4_2d>(hb::matrix_view<const float>, const choice&);
template hb::quantized<hb::nvfp4> quantize_as(hb::matrix_view<const float>, const choice&);
