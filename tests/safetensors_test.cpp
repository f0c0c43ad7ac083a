#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/safetensors.hpp>

#include "scratch_folder.hpp"

namespace hb = halfbyte;
using bytes = std::vector<std::uint8_t>;

namespace {

std::atomic<std::size_t> largest_allocation{0};
void (*volatile release)(void*) = std::free;  // g++ 12 takes a plain call for a mismatch

}  // namespace

void* operator new(std::size_t n) {
  std::size_t seen = largest_allocation;
  while (n > seen && !largest_allocation.compare_exchange_weak(seen, n)) {
  }
  if (void* const p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }

namespace {

/// A file of this header and `data` bytes after it; the length says `length` if that is given.
bytes file_of(std::string_view header, std::size_t data = 0, std::uint64_t length = ~0ull) {
  if (length == ~0ull) length = header.size();
  bytes file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<std::uint8_t>(length >> (8 * i)));
  file.insert(file.end(), header.begin(), header.end());
  for (std::size_t i = 0; i < data; ++i) file.push_back(static_cast<std::uint8_t>(i));
  return file;
}

/// What is wrong with a file: "" if nothing is.
std::string fault(const bytes& file) {
  try {
    hb::read_safetensors(file);
    return {};
  } catch (const hb::safetensors_error& error) {
    CHECK(error.position() <= file.size());
    CHECK(std::string(error.what()).starts_with("byte " + std::to_string(error.position())));
    return error.what();
  }
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

bytes contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<hb::stored_type> every_type() {
  std::vector<hb::stored_type> types;
  for (int i = 0; i < hb::stored_types; ++i) types.push_back(static_cast<hb::stored_type>(i));
  return types;
}

}  // namespace

static_assert(hb::stored_bits(hb::stored_type::boolean) == 8);
static_assert(hb::stored_bits(hb::stored_type::f4) == 4);
static_assert(hb::stored_bits(hb::stored_type::f6_e3m2) == 6);
static_assert(hb::stored_bits(hb::stored_type::f8_e8m0) == 8);
static_assert(hb::stored_bits(hb::stored_type::i16) == 16);
static_assert(hb::stored_bits(hb::stored_type::bf16) == 16);
static_assert(hb::stored_bits(hb::stored_type::i32) == 32);
static_assert(hb::stored_bits(hb::stored_type::f32) == 32);
static_assert(hb::stored_bits(hb::stored_type::c64) == 64);
static_assert(hb::stored_bits(hb::stored_type::u64) == 64);

TEST_CASE("the example of the format's README is read") {
  const bytes file = file_of(R"({"__metadata__":{"format":"pt","who":"né"},)"
                             R"("b":{"dtype":"F16","shape":[1,16],"data_offsets":[4,36]},)"
                             R"("a.b":{"data_offsets":[0,4],"dtype":"I32","shape":[]}}   )",
                             36);
  const hb::safetensors model = hb::read_safetensors(file);
  REQUIRE(model.tensors.size() == 2);
  CHECK(model.metadata == std::map<std::string, std::string>{{"format", "pt"}, {"who", "né"}});
  CHECK(model.tensors[0].name == "a.b");  // in the order of the data
  CHECK(model.tensors[0].shape.empty());
  CHECK(model.tensors[0].bytes.size() == 4);
  CHECK(model.tensors[0].bytes.data() == file.data() + file.size() - 36);  // a view, no copy
  const hb::stored_tensor* b = model.find("b");
  REQUIRE(b != nullptr);
  CHECK(b->type == hb::stored_type::f16);
  CHECK(b->shape == std::vector<std::uint64_t>{1, 16});
  CHECK(b->bytes.data() == file.data() + file.size() - 32);
  CHECK(b->bytes.size() == 32);
  CHECK(model.find("a") == nullptr);
}

TEST_CASE("files without tensors, without elements and with gaps of zero bytes are read") {
  CHECK(hb::read_safetensors(file_of("{}")).tensors.empty());
  CHECK(hb::read_safetensors(file_of(R"({"__metadata__":{}})")).tensors.empty());
  CHECK(fault(file_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},)"
                      R"("b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                      R"("":{"dtype":"F32","shape":[0,9223372036854775808,4],)"
                      R"("data_offsets":[0,0]}})",
                      1)) == "");
}

TEST_CASE("every dtype of the format is accepted and its size checked") {
  for (const hb::stored_type type : every_type()) {
    CAPTURE(hb::name(type));
    const std::string start = R"({"t":{"dtype":")" + std::string(hb::name(type)) + "\",";
    const auto n = static_cast<std::size_t>(hb::stored_bits(type));  // 8 elements are n bytes
    const std::string right = start + R"("shape":[2,4],"data_offsets":[0,)" + std::to_string(n);
    const std::string wrong = start + R"("shape":[2,4],"data_offsets":[0,)" + std::to_string(n - 1);
    CHECK(fault(file_of(right + "]}}", n)) == "");
    CHECK(has(fault(file_of(wrong + "]}}", n - 1)), "not the length of its data"));
    CHECK(hb::read_safetensors(file_of(right + "]}}", n)).tensors[0].type == type);
  }
}

TEST_CASE("elements below a byte fill whole bytes") {
  const auto shaped = [](std::string_view type, int n, int data) {
    return fault(file_of(R"({"t":{"dtype":")" + std::string(type) + R"(","shape":[)" +
                             std::to_string(n) + R"(],"data_offsets":[0,)" + std::to_string(data) +
                             "]}}",
                         static_cast<std::size_t>(data)));
  };
  CHECK(shaped("F4", 6, 3) == "");
  CHECK(has(shaped("F4", 5, 3), "ends inside a byte"));
  CHECK(shaped("F6_E2M3", 4, 3) == "");
  CHECK(has(shaped("F6_E2M3", 3, 3), "ends inside a byte"));
  CHECK(has(shaped("F6_E3M2", 2, 2), "ends inside a byte"));
}

TEST_CASE("a file shorter than its header is refused before anything is read") {
  for (std::size_t n = 0; n < 8; ++n) {
    CHECK(fault(bytes(n, '{')) ==
          "byte " + std::to_string(n) + ": shorter than the 8 bytes of a length");
  }
  CHECK(fault(file_of("{}", 0, 3)) == "byte 0: a header longer than the file");
  CHECK(fault(file_of("{}", 0, 100'000'000)) == "byte 0: a header longer than the file");
  for (const std::uint64_t n : {100'000'001ull, 1ull << 32, 1ull << 63, ~0ull - 1, ~0ull - 7}) {
    CHECK(fault(file_of("{}", 0, n)) == "byte 0: a header longer than 100,000,000 bytes");
  }
  CHECK(fault(file_of("")) == "byte 8: a header without {");
}

TEST_CASE("a header that is not what the format says is refused at its byte") {
  const struct {
    std::string_view header, what;
    std::uint64_t position;  // counted from the start of the header
  } cases[] = {
      {" {}", "a header without {", 0},
      {"\xef\xbb\xbf{}", "a header without {", 0},
      {"[]", "a header without {", 0},
      {"{", "not JSON", 1},
      {"{}}", "not JSON", 3},
      {"{} {}", "not JSON", 4},
      {std::string_view("{}\0", 3), "not JSON", 2},
      {std::string_view("{}  \0 ", 6), "not JSON", 4},
      {"{/**/}", "not JSON", 2},
      {"{\"\xff\":1}", "not JSON", 3},
      {"{\"\\ud800\":1}", "not JSON", 9},
      {"{\"a\":nul}", "not JSON", 9},
      {R"({"a":null})", "not what", 9},
      {R"({"a":1})", "not what", 7},
      {R"({"a":"F32"})", "not what", 10},
      {R"({"a":[[]]})", "not what", 6},
      {R"({"a":{}})", "without dtype", 7},
      {R"({"a":{"dtype":"U8","shape":[1]}})", "without dtype", 31},
      {R"({"a":{"dtype":"F33"}})", "unknown dtype \"F33\"", 19},
      {R"({"a":{"dtype":"f32"}})", "unknown dtype", 19},
      {R"({"a":{"dtype":32}})", "not what", 17},
      {R"({"a":{"dtype":["F32"]}})", "not what", 15},
      {R"({"a":{"dtype":"U8","dtype":"U8"}})", "a second dtype", 26},
      {R"({"a":{"shape":[1],"shape":[1]}})", "a second dtype, shape", 25},
      {R"({"a":{"shape":1}})", "not what", 16},
      {R"({"a":{"shape":{}}})", "not what", 15},
      {R"({"a":{"shape":[-1]}})", "not what", 18},
      {R"({"a":{"shape":[1.0]}})", "not what", 19},
      {R"({"a":{"shape":[1e2]}})", "not what", 19},
      {R"({"a":{"shape":[18446744073709551616]}})", "not what", 36},
      {R"({"a":{"shape":["1"]}})", "not what", 18},
      {R"({"a":{"shape":[[1]]}})", "not what", 16},
      {R"({"a":{"shape":[true]}})", "not what", 19},
      {R"({"a":{"data_offsets":[0]}})", "not what", 24},
      {R"({"a":{"data_offsets":[]}})", "not what", 23},
      {R"({"a":{"data_offsets":[0,1,2]}})", "not what", 28},
      {R"({"a":{"data_offsets":{"0":1}}})", "not what", 22},
      {R"({"__metadata__":null})", "not what", 20},
      {R"({"__metadata__":[]})", "not what", 17},
      {R"({"__metadata__":{"a":1}})", "not what", 23},
      {R"({"__metadata__":{"a":{}}})", "not what", 22},
      {R"({"__metadata__":{"a":"1","a":"1"}})", "a second \"a\"", 28},
      {R"({"__metadata__":{},"__metadata__":{}})", "a second \"__metadata__\"", 33},
  };
  for (const auto& [header, what, position] : cases) {
    CAPTURE(header);
    const std::string message = fault(file_of(header, 0));
    CHECK_MESSAGE(has(message, what), message);
    CHECK(message.substr(0, message.find(':')) == "byte " + std::to_string(8 + position));
  }
}

TEST_CASE("no name may come twice, however it is written") {
  const std::string t = R"(":{"dtype":"U8","shape":[1],"data_offsets":[)";
  CHECK(fault(file_of("{\"a" + t + "0,1]},\"b" + t + "1,2]}}", 2)) == "");
  CHECK(fault(file_of("{\"a" + t + "0,1]},\"a" + t + "1,2]}}", 2)) ==
        "byte " + std::to_string(8 + 1 + 2 + t.size() + 6 + 3) + ": a second tensor \"a\"");
  CHECK(has(fault(file_of("{\"a" + t + "0,1]},\"\\u0061" + t + "1,2]}}", 2)), "a second tensor"));
  CHECK(has(fault(file_of("{\"a" + t + "0,1]},\"a" + t + "0,1]}}", 1)), "a second tensor"));
}

TEST_CASE("the tensors cover the file without gap and overlap") {
  const auto two = [](int a, int b, int c, int d, std::size_t data) {
    const auto entry = [](char name, int begin, int end) {
      return std::string{'"', name} + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
             R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
    };
    return fault(file_of("{" + entry('a', a, b) + "," + entry('b', c, d) + "}", data));
  };
  CHECK(two(0, 4, 4, 9, 9) == "");
  CHECK(two(4, 9, 0, 4, 9) == "");
  CHECK(has(two(1, 4, 4, 9, 9), "tensor \"a\" leaves a gap"));
  CHECK(has(two(0, 4, 5, 9, 9), "tensor \"b\" leaves a gap"));
  CHECK(has(two(0, 4, 3, 9, 9), "tensor \"b\" leaves a gap or overlaps"));
  CHECK(has(two(0, 9, 0, 9, 9), "tensor \"b\" leaves a gap or overlaps"));
  CHECK(has(two(0, 4, 4, 9, 8), "tensor \"b\" ends after the end of the file"));
  CHECK(has(two(0, 4, 4, 9, 10), "bytes that belong to no tensor"));
  CHECK(has(fault(file_of("{}", 1)), "byte 10: bytes that belong to no tensor"));
  CHECK(has(fault(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                          R"("b":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}})",
                          1)),
            "ends before it begins"));
}

TEST_CASE("sizes that overflow are refused, not wrapped") {
  const auto shaped = [](std::string_view type, std::string_view shape, std::string_view end) {
    return fault(file_of(R"({"t":{"dtype":")" + std::string(type) + R"(","shape":[)" +
                         std::string(shape) + R"(],"data_offsets":[0,)" + std::string(end) +
                         "]}}"));
  };
  CHECK(has(shaped("U8", "4294967296,4294967296", "0"), "overflows"));
  CHECK(has(shaped("U8", "9223372036854775808,4,0", "0"), "overflows"));
  CHECK(has(shaped("F64", "288230376151711744", "0"), "overflows"));  // * 64 = 2^64
  CHECK(has(shaped("U8", "2305843009213693952", "0"), "overflows"));  // * 8 = 2^64
  CHECK(has(shaped("U8", "2305843009213693951", "0"), "not the length of its data"));
  CHECK(has(shaped("U8", "2305843009213693951", "2305843009213693951"), "after the end"));
  CHECK(has(shaped("U8", "1", "18446744073709551615"), "after the end of the file"));
}

TEST_CASE("keys that the format does not know are passed over, but not to any depth") {
  const auto with = [](std::string_view value) {
    return fault(file_of(R"({"a":{"dtype":"U8","new":)" + std::string(value) +
                             R"(,"shape":[1],"data_offsets":[0,1]}})",
                         1));
  };
  CHECK(with("1") == "");
  CHECK(with("-1.5e300") == "");
  CHECK(with("null") == "");
  CHECK(with(R"({"dtype":[{"shape":null},true,-1]})") == "");
  CHECK(with("[[[[[[[[1]]]]]]]]") == "");
  CHECK(has(with("[[[[[[[[[1]]]]]]]]]"), "nested too deeply"));
  CHECK(has(with(std::string(1000000, '[')), "nested too deeply"));
  const std::string many = "1" + std::string(100, ' ');
  std::string shape;
  for (int i = 0; i < 64; ++i) shape += i == 0 ? "1" : ",1";
  const auto ranked = [](const std::string& extents) {
    return fault(
        file_of(R"({"a":{"dtype":"U8","shape":[)" + extents + R"(],"data_offsets":[0,1]}})", 1));
  };
  CHECK(ranked(shape) == "");
  CHECK(has(ranked(shape + ",1"), "too many dimensions"));
}

TEST_CASE("memory follows the header's length, never a number in it") {
  std::vector<bytes> files;
  files.push_back(file_of("{}", 0, 99'999'999));
  files.push_back(
      file_of(R"({"t":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8]}})", 8));
  files.push_back(file_of(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,4000000000]}})", 1));
  files.push_back(file_of("{\"" + std::string(100000, 'n') + "\":[1]}"));
  files.push_back(file_of(R"({"a":{"x":)" + std::string(100000, '[')));
  std::string zeros = R"({"t":{"dtype":"U8","shape":[0)";
  for (int i = 0; i < 50000; ++i) zeros += ",0";
  files.push_back(file_of(zeros + R"(],"data_offsets":[0,0]}})"));
  std::string empty = "{";
  for (int i = 0; i < 2000; ++i) {
    empty += (i == 0 ? "\"" : ",\"") + std::to_string(i) +
             R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  files.push_back(file_of(empty + "}"));
  for (const bytes& file : files) {
    largest_allocation = 0;
    try {
      hb::read_safetensors(file);
    } catch (const hb::safetensors_error&) {
    }
    CHECK(largest_allocation <= 4 * file.size() + 1024);
  }
}

TEST_CASE("messages show names that a file made up without their control characters") {
  const std::string message = fault(file_of(
      R"({"\u001b[2J\u0007<b>\u00e9":{"dtype":"U8","shape":[1],"data_offsets":[0,2]}})", 2));
  CHECK(has(message, R"(tensor "\u001b[2J\u0007<b>\u00e9")"));
  CHECK(hb::printable("a\x7f\n\xff") == R"("a\u007f\n\ufffd")");
  CHECK(hb::printable(std::string(1000, 'x')).size() < 130);
}

TEST_CASE("what write_safetensors wrote, read_safetensors reads") {
  const scratch_folder folder;
  std::mt19937_64 random(17);
  for (int round = 0; round < 50; ++round) {
    std::vector<bytes> data;
    std::vector<hb::stored_tensor> tensors;
    for (const hb::stored_type type : every_type()) {
      const std::vector<std::uint64_t> shape{random() % 4, 1 + random() % 3, 8};
      bytes values(shape[0] * shape[1] * static_cast<std::size_t>(hb::stored_bits(type)));
      for (std::uint8_t& value : values) value = static_cast<std::uint8_t>(random());
      data.push_back(values);
      const std::string name = "é\n\"" + std::to_string(random());
      tensors.push_back({name, type, shape, data.back()});
    }
    const std::map<std::string, std::string> metadata{{"format", "pt"}, {"\\", "\x01"}};
    hb::write_safetensors(folder.path() / "m", tensors,
                          round % 2 == 0 ? metadata : decltype(metadata){});
    const hb::mapped_file file(folder.path() / "m");
    const hb::safetensors model = hb::read_safetensors(file.bytes());
    CHECK(model.metadata == (round % 2 == 0 ? metadata : decltype(metadata){}));
    REQUIRE(model.tensors.size() == tensors.size());
    for (const hb::stored_tensor& written : tensors) {
      const hb::stored_tensor* read = model.find(written.name);
      REQUIRE(read != nullptr);
      CHECK(read->type == written.type);
      CHECK(read->shape == written.shape);
      CHECK(bytes(read->bytes.begin(), read->bytes.end()) ==
            bytes(written.bytes.begin(), written.bytes.end()));
      const auto at = static_cast<std::size_t>(read->bytes.data() - file.bytes().data());
      if (hb::stored_bits(read->type) >= 8) {
        CHECK(at % (static_cast<std::size_t>(hb::stored_bits(read->type)) / 8) == 0);  // aligned
      }
    }
  }
}

TEST_CASE("a written file is byte for byte what the format's reference writes") {
  // serialize() of the Python package safetensors 0.8.0 with these tensors and metadata {"k": "v"}.
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("c":{"dtype":"BF16","shape":[],"data_offsets":[4,6]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[6,9]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  const bytes expected = file_of(padded, 9);
  const bytes data{0, 1, 2, 3, 4, 5, 6, 7, 8};
  const std::span<const std::uint8_t> all(data);
  const std::vector<hb::stored_tensor> tensors{{"b", hb::stored_type::u8, {3}, all.subspan(6)},
                                               {"c", hb::stored_type::bf16, {}, all.subspan(4, 2)},
                                               {"a", hb::stored_type::f32, {1}, all.first(4)}};
  const scratch_folder folder;
  hb::write_safetensors(folder.path() / "m", tensors, {{"k", "v"}});
  CHECK(contents(folder.path() / "m") == expected);
}

TEST_CASE("nothing is written of tensors that make no file") {
  const scratch_folder folder;
  const bytes data(8);
  using tensors = std::vector<hb::stored_tensor>;
  const auto refuses = [&folder](const tensors& t) {
    CHECK_THROWS_AS(hb::write_safetensors(folder.path() / "m", t), std::invalid_argument);
  };
  refuses({{"a", hb::stored_type::u8, {8}, data}, {"a", hb::stored_type::f32, {2}, data}});
  refuses({{"__metadata__", hb::stored_type::u8, {8}, data}});
  refuses({{"a\xff", hb::stored_type::u8, {8}, data}});
  refuses({{"a", hb::stored_type::u8, {7}, data}});
  refuses({{"a", hb::stored_type::f4, {15}, data}});
  refuses({{"a", hb::stored_type::u8, {1ull << 63, 1ull << 63}, data}});
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK_THROWS_AS(hb::write_safetensors(folder.path() / "no" / "m", tensors{}), std::system_error);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("no change of one byte, cut or doubling of a file crashes the reader") {
  const bytes whole = file_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F4","shape":[2,4],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20],"x":[1,{"y":2}]}})",
      20);
  REQUIRE(fault(whole) == "");
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      bytes changed = whole;
      changed[i] = static_cast<std::uint8_t>(value);
      refused += fault(changed).empty() ? 0 : 1;
    }
    CHECK(!fault(bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(i))).empty());
    bytes longer = whole;
    longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(i), whole.begin(), whole.end());
    CHECK(!fault(longer).empty());
  }
  CHECK(refused > 20000);
}
