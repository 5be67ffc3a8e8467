// A short busy wait before a thread goes to sleep. Waking a sleeping thread costs tens of microseconds, as long as
// many a launch runs; but a thread that has nothing to do must not hold a processor.
#pragma once

#include <chrono>
#include <thread>

namespace warpbook::cpu {

constexpr std::chrono::microseconds kSpinTime{20};

// Returns true as soon as ready() does, false after kSpinTime.
template <typename Ready>
bool spin_until(Ready&& ready) {
  if (ready()) return true;
  static const bool alone = std::thread::hardware_concurrency() < 2;
  if (alone) return false;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace warpbook::cpu
