// Stores past the caches, for memory that is written once and read by somebody else, such as a staging slot that a GPU
// copies: what was there isn't fetched first, which would take twice as long as all the rest of a plan. Elsewhere than on
// x86-64 they are plain stores.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace warpbook::cpu {

// Four words of a table; GCC's and Clang's own vectors.
typedef int32_t Quad __attribute__((vector_size(16)));

inline Quad load_quad(const int32_t* words) {
  Quad quad;
  std::memcpy(&quad, words, sizeof quad);
  return quad;
}

// `to` is 16-byte aligned.
inline void stream_quad(int32_t* to, Quad quad) {
#if defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(quad));
#else
  std::memcpy(to, &quad, sizeof quad);
#endif
}

// Whatever is stored afterwards is seen after what was streamed.
inline void finish_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace warpbook::cpu
