#include "measure_in.hpp"

namespace hb = halfbyte;

template measurement measure_in<hb::mxfp4>(hb::matrix_view<const float>, const choice&);
template hb::quantized<hb::mxfp4> quantize_as(hb::matrix_view<const float>, const choice&);
