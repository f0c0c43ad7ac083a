#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#if __has_include(<sys/mman.h>) && __has_include(<unistd.h>)
#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace halfbyte {

namespace detail {

[[noreturn]] inline void throw_file_error(const char* what, const std::filesystem::path& path,
                                          std::error_code reason) {
  throw std::system_error(reason, std::string(what) + " " + path.string());
}

#if __has_include(<sys/mman.h>) && __has_include(<unistd.h>)

inline std::error_code last_error() { return {errno, std::generic_category()}; }

/// A POSIX file descriptor, closed at the end of its scope.
class descriptor {
 public:
  explicit descriptor(int number) : number_(number) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() { close(); }

  int number() const { return number_; }
  int close() { return number_ < 0 ? 0 : ::close(std::exchange(number_, -1)); }

 private:
  int number_;
};

/// Writes `pieces` to a new file and waits until the disk has them.
inline std::error_code write_new_file(const std::filesystem::path& path,
                                      std::span<const std::span<const std::uint8_t>> pieces) {
  descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.number() < 0) return last_error();
  constexpr std::size_t most = std::size_t{1} << 30;  // write() takes no more than 2 GiB at once
  for (std::span<const std::uint8_t> piece : pieces) {
    while (!piece.empty()) {
      const ssize_t done =
          ::write(file.number(), piece.data(), piece.size() < most ? piece.size() : most);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return last_error();
      piece = piece.subspan(static_cast<std::size_t>(done));
    }
  }
  if (::fsync(file.number()) != 0 || file.close() != 0) return last_error();
  return {};
}

/// Waits until the disk knows the names in `folder`. Not every file system can: that is no error.
inline void sync_folder(const std::filesystem::path& folder) {
  const descriptor file(::open(folder.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() >= 0) (void)::fsync(file.number());
}

#else

inline std::error_code write_new_file(const std::filesystem::path& path,
                                      std::span<const std::span<const std::uint8_t>> pieces) {
  if (std::filesystem::exists(path)) return std::make_error_code(std::errc::file_exists);
  std::ofstream file(path, std::ios::binary);
  for (const std::span<const std::uint8_t> piece : pieces) {
    file.write(reinterpret_cast<const char*>(piece.data()),
               static_cast<std::streamsize>(piece.size()));
  }
  file.close();
  return file ? std::error_code{} : std::make_error_code(std::errc::io_error);
}

inline void sync_folder(const std::filesystem::path&) {}

#endif

}  // namespace detail

/// The bytes of a regular file: mapped into memory where the system can (POSIX), read elsewhere.
///
/// Throws std::system_error for a path that cannot be opened or is not a regular file. The bytes
/// of a mapped file are the file itself: whoever shortens it while it is mapped ends the program,
/// whoever writes to it changes what was already checked. Open only files that nobody else
/// writes. replace_file() is safe: it leaves a mapped file as it was.
class mapped_file {
 public:
  explicit mapped_file(const std::filesystem::path& path) {
    std::error_code reason;
    if (!std::filesystem::is_regular_file(path, reason)) {
      const bool there = std::filesystem::exists(path);
      if (there) reason = std::make_error_code(std::errc::invalid_argument);
      detail::throw_file_error(there ? "not a regular file:" : "cannot open", path, reason);
    }
#if __has_include(<sys/mman.h>) && __has_include(<unistd.h>)
    const detail::descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (file.number() < 0 || ::fstat(file.number(), &status) != 0) {
      detail::throw_file_error("cannot open", path, detail::last_error());
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size > std::numeric_limits<std::ptrdiff_t>::max()) {
      detail::throw_file_error("cannot map", path, std::make_error_code(std::errc::file_too_large));
    }
    if (size == 0) return;  // an empty file cannot be mapped
    const auto length = static_cast<std::size_t>(size);
    void* const start = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, file.number(), 0);
    if (start == MAP_FAILED) detail::throw_file_error("cannot map", path, detail::last_error());
    bytes_ = {static_cast<const std::uint8_t*>(start), length};
#else
    std::ifstream file(path, std::ios::binary);
    owned_.resize(static_cast<std::size_t>(std::filesystem::file_size(path)));
    file.read(reinterpret_cast<char*>(owned_.data()), static_cast<std::streamsize>(owned_.size()));
    if (!file) {
      detail::throw_file_error("cannot read", path, std::make_error_code(std::errc::io_error));
    }
    bytes_ = owned_;
#endif
  }

  mapped_file(mapped_file&& other) noexcept
      : bytes_(std::exchange(other.bytes_, {})), owned_(std::move(other.owned_)) {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(owned_, other.owned_);
    return *this;
  }
  ~mapped_file() {
#if __has_include(<sys/mman.h>) && __has_include(<unistd.h>)
    if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
#endif
  }

  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
  std::vector<std::uint8_t> owned_;  // where files cannot be mapped
};

/// A file of these pieces, one after the other, that is on the disk beside `path` and takes its
/// place when it is told to finish(): whole, or not at all.
///
/// What was at `path` stays as it was until that moment, and for those who have it open. Throws
/// std::system_error, and leaves nothing behind, if the file cannot be written or if `path` is
/// there and is not a regular file. A file that is never finished is removed.
class unfinished_file {
 public:
  unfinished_file(const std::filesystem::path& path,
                  std::span<const std::span<const std::uint8_t>> pieces)
      : path_(path) {
    std::error_code reason, ignored;
    if (std::filesystem::exists(path, ignored) &&
        !std::filesystem::is_regular_file(path, ignored)) {
      detail::throw_file_error("will not replace what is not a regular file:", path,
                               std::make_error_code(std::errc::invalid_argument));
    }
    int attempt = 0;
    do {  // another writer's unfinished file is not ours to touch
      beside_ = path;
      beside_ += ".unfinished" + std::to_string(attempt);
      reason = detail::write_new_file(beside_, pieces);
    } while (reason == std::errc::file_exists && ++attempt < 100);
    if (reason) {
      if (reason != std::errc::file_exists) std::filesystem::remove(beside_, ignored);
      detail::throw_file_error("cannot write", path, reason);
    }
  }
  unfinished_file(const unfinished_file&) = delete;
  unfinished_file& operator=(const unfinished_file&) = delete;
  ~unfinished_file() {
    std::error_code ignored;
    if (!beside_.empty()) std::filesystem::remove(beside_, ignored);
  }

  void finish() {
    std::error_code reason;
    std::filesystem::rename(beside_, path_, reason);
    if (reason) detail::throw_file_error("cannot write", path_, reason);
    beside_.clear();
    detail::sync_folder(path_.has_parent_path() ? path_.parent_path() : ".");
  }

 private:
  std::filesystem::path path_, beside_;
};

/// Makes `path` a file of these pieces at once: see unfinished_file.
inline void replace_file(const std::filesystem::path& path,
                         std::span<const std::span<const std::uint8_t>> pieces) {
  unfinished_file(path, pieces).finish();
}

}  // namespace halfbyte
