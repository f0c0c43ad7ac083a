#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <doctest/doctest.h>

#if __has_include(<sys/resource.h>)
#include <csignal>

#include <sys/resource.h>
#include <unistd.h>
#endif

#include <halfbyte/file.hpp>

#include "scratch_folder.hpp"

namespace hb = halfbyte;
using bytes = std::vector<std::uint8_t>;

namespace {

bytes random_bytes(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  bytes result(n);
  for (std::uint8_t& b : result) b = static_cast<std::uint8_t>(random());
  return result;
}

void replace(const std::filesystem::path& path, const std::vector<bytes>& pieces) {
  const std::vector<std::span<const std::uint8_t>> spans(pieces.begin(), pieces.end());
  hb::replace_file(path, spans);
}

bytes contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("replace_file writes the pieces one after the other and mapped_file shows them") {
  const scratch_folder folder;
  for (const std::size_t n : {0u, 1u, 4095u, 4096u, 4097u, 1000003u}) {
    const bytes first = random_bytes(n, 1), second = random_bytes(n / 3, 2);
    bytes both = first;
    both.insert(both.end(), second.begin(), second.end());
    replace(folder.path() / "data", {first, {}, second});
    const hb::mapped_file file(folder.path() / "data");
    CHECK(bytes(file.bytes().begin(), file.bytes().end()) == both);
    CHECK(contents(folder.path() / "data") == both);
    CHECK(files_in(folder.path()) == 1);
  }
}

TEST_CASE("a mapped file stays as it was when it is replaced") {
  const scratch_folder folder;
  const bytes before = random_bytes(100000, 3), after = random_bytes(10, 4);
  replace(folder.path() / "data", {before});
  const hb::mapped_file file(folder.path() / "data");
  replace(folder.path() / "data", {after});
  CHECK(bytes(file.bytes().begin(), file.bytes().end()) == before);
  CHECK(contents(folder.path() / "data") == after);
}

TEST_CASE("a mapped file can be moved") {
  const scratch_folder folder;
  const bytes first = random_bytes(5000, 5), second = random_bytes(6000, 6);
  replace(folder.path() / "a", {first});
  replace(folder.path() / "b", {second});
  hb::mapped_file a(folder.path() / "a"), b(folder.path() / "b");
  hb::mapped_file c(std::move(a));
  CHECK(a.bytes().empty());
  c = std::move(b);
  CHECK(bytes(c.bytes().begin(), c.bytes().end()) == second);
}

TEST_CASE("what is not a regular file is not opened and not replaced") {
  const scratch_folder folder;
  CHECK_THROWS_AS(hb::mapped_file(folder.path()), std::system_error);
  CHECK_THROWS_AS(hb::mapped_file(folder.path() / "missing"), std::system_error);
  CHECK_THROWS_AS(replace(folder.path(), {random_bytes(3, 7)}), std::system_error);
  CHECK_THROWS_AS(replace(folder.path() / "missing" / "data", {random_bytes(3, 7)}),
                  std::system_error);
  CHECK(files_in(folder.path()) == 0);
  if (std::filesystem::exists("/dev/null")) {
    CHECK_THROWS_AS(hb::mapped_file("/dev/null"), std::system_error);
    CHECK_THROWS_AS(replace("/dev/null", {random_bytes(3, 7)}), std::system_error);
    CHECK(!std::filesystem::is_regular_file("/dev/null"));
  }
}

TEST_CASE("the error of a file names it and the reason") {
  try {
    hb::mapped_file("/no/such/file");
    FAIL("opened a file that is not there");
  } catch (const std::system_error& error) {
    CHECK(std::string(error.what()).find("/no/such/file") != std::string::npos);
    CHECK(error.code() == std::errc::no_such_file_or_directory);
  }
}

TEST_CASE("an unfinished file takes its place when it is finished and goes when it never is") {
  const scratch_folder folder;
  const bytes before = random_bytes(70, 14), after = random_bytes(80, 15);
  const std::span<const std::uint8_t> piece(after);
  replace(folder.path() / "data", {before});
  {
    const hb::unfinished_file dropped(folder.path() / "data", std::span(&piece, 1));
    CHECK(contents(folder.path() / "data") == before);
    CHECK(files_in(folder.path()) == 2);
  }
  CHECK(files_in(folder.path()) == 1);
  hb::unfinished_file kept(folder.path() / "data", std::span(&piece, 1));
  CHECK(contents(folder.path() / "data") == before);
  kept.finish();
  CHECK(contents(folder.path() / "data") == after);
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a file that cannot take its place is removed") {
  const scratch_folder folder;
  const bytes data = random_bytes(90, 16);
  const std::span<const std::uint8_t> piece(data);
  {
    hb::unfinished_file file(folder.path() / "data", std::span(&piece, 1));
    std::filesystem::create_directory(folder.path() / "data");
    CHECK_THROWS_AS(file.finish(), std::system_error);
  }
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("an unfinished file of another writer is left alone") {
  const scratch_folder folder;
  const bytes data = random_bytes(50, 8), other = random_bytes(60, 9);
  std::ofstream(folder.path() / "data.unfinished0", std::ios::binary)
      .write(reinterpret_cast<const char*>(other.data()),
             static_cast<std::streamsize>(other.size()));
  replace(folder.path() / "data", {data});
  CHECK(contents(folder.path() / "data") == data);
  CHECK(contents(folder.path() / "data.unfinished0") == other);
  CHECK(files_in(folder.path()) == 2);
}

#if __has_include(<sys/resource.h>)

TEST_CASE("a write that fails half way leaves the old file and nothing else") {
  const scratch_folder folder;
  const bytes before = random_bytes(2000, 10);
  replace(folder.path() / "data", {before});

  rlimit limit{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit small{65536, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::error_code reason;
  try {
    replace(folder.path() / "data", {random_bytes(60000, 11), random_bytes(60000, 12)});
  } catch (const std::system_error& error) {
    reason = error.code();
  }
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);

  CHECK(reason == std::errc::file_too_large);
  CHECK(contents(folder.path() / "data") == before);
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a file written has the permissions that the user's mask leaves") {
  const scratch_folder folder;
  replace(folder.path() / "data", {random_bytes(5, 13)});
  std::ofstream(folder.path() / "plain") << "x";
  CHECK(std::filesystem::status(folder.path() / "data").permissions() ==
        std::filesystem::status(folder.path() / "plain").permissions());
}

#endif
