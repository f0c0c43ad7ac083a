#pragma once

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/cuda/error.cuh>

namespace bench {

/// Candidates for one job, timed in turn and each round in another order, so that all meet the
/// same machine; medians of CUDA events.
class race {
 public:
  explicit race(cudaStream_t stream) : stream_(stream) {
    halfbyte::cuda::check(cudaEventCreate(&start_));
    halfbyte::cuda::check(cudaEventCreate(&stop_));
  }
  race(const race&) = delete;
  ~race() {
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }

  /// `run(i)` queues the job once; i counts up, so that a job can take turns among its inputs.
  void add(std::string name, std::function<void(int)> run) {
    entries_.push_back({std::move(name), std::move(run), {}, 0});
  }

  /// Each round: every candidate for `seconds` or `repeats` times untimed, then as often between two
  /// events. A candidate that runs at the power limit needs some 50 milliseconds before the clock is
  /// the one that it leaves itself, and not what the one before it left.
  void run(int rounds, int repeats, double seconds = 0) {
    std::mt19937_64 random(1);
    std::vector<std::size_t> order(entries_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (entry& e : entries_) {
      time(e, 1);
      e.repeats = std::max(repeats, static_cast<int>(seconds / time(e, repeats)));
    }
    for (int round = 0; round < rounds; ++round) {
      std::shuffle(order.begin(), order.end(), random);
      for (const std::size_t j : order) {
        entry& e = entries_[j];
        if (seconds > 0) time(e, e.repeats);
        e.seconds.push_back(time(e, e.repeats));
      }
    }
    for (entry& e : entries_) std::sort(e.seconds.begin(), e.seconds.end());
  }

  std::size_t size() const { return entries_.size(); }
  const std::string& name(std::size_t i) const { return entries_[i].name; }
  double median(std::size_t i) const { return entries_[i].seconds[entries_[i].seconds.size() / 2]; }

 private:
  struct entry {
    std::string name;
    std::function<void(int)> run;
    std::vector<double> seconds;
    int repeats = 0;
  };

  /// Seconds of one of `repeats` runs, after one that does not count.
  double time(const entry& e, int repeats) {
    e.run(0);
    halfbyte::cuda::check(cudaEventRecord(start_, stream_));
    for (int i = 1; i <= repeats; ++i) e.run(i);
    halfbyte::cuda::check(cudaEventRecord(stop_, stream_));
    halfbyte::cuda::check(cudaEventSynchronize(stop_));
    float milliseconds = 0;
    halfbyte::cuda::check(cudaEventElapsedTime(&milliseconds, start_, stop_));
    return 1e-3 * milliseconds / repeats;
  }

  cudaStream_t stream_;
  cudaEvent_t start_{}, stop_{};
  std::vector<entry> entries_;
};

}  // namespace bench
