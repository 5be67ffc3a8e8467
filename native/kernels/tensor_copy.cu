// tensor_copy: strided copy with conversion. Equal dtypes are copied bit by bit, NaN payloads included.
#include "tensor/strided.cuh"

namespace warpbook {

__device__ __forceinline__ void copy_same(int size, void* target, int64 to, const void* source, int64 from) {
  switch (size) {
    case 1: static_cast<unsigned char*>(target)[to] = element<unsigned char>(source, from); break;
    case 2: static_cast<unsigned short*>(target)[to] = element<unsigned short>(source, from); break;
    case 4: static_cast<uint32*>(target)[to] = element<uint32>(source, from); break;
    default: static_cast<uint64*>(target)[to] = element<uint64>(source, from);
  }
}

// Whether both sides are dense and of float dtypes: then eight elements go at once.
__device__ __forceinline__ bool in_groups(const TensorCopyParams& params) {
  return params.num_dims == 1 && params.dst_stride_0 == 1 && params.src_stride_0 == 1 &&
         is_float_dtype(params.dst_dtype) && is_float_dtype(params.src_dtype) && params.dst_dtype != params.src_dtype &&
         is_aligned8(params.dst_dtype, params.dst) && is_aligned8(params.src_dtype, params.src);
}

}  // namespace warpbook

extern "C" __global__ void __launch_bounds__(256) tensor_copy(const __grid_constant__ warpbook::TensorCopyParams params) {
  using namespace warpbook;
  const int64 begin = static_cast<int64>(blockIdx.x) * TENSOR_ELEMENTS_PER_CTA;
  const int64 end = min(begin + TENSOR_ELEMENTS_PER_CTA, static_cast<int64>(params.num_elements));
  int64 rest = begin;
  if (in_groups(params)) {
    static_assert(TENSOR_ELEMENTS_PER_CTA % kGroup == 0, "a CTA starts with a whole group");
    rest = end - (end - begin) % kGroup;
    for (int64 i = begin + kGroup * threadIdx.x; i < rest; i += kGroup * blockDim.x) {
      float x[kGroup];
      load8(params.src_dtype, params.src, i, x);
      store8(params.dst_dtype, params.dst, i, x);
    }
  }
  for (int64 i = rest + threadIdx.x; i < end; i += blockDim.x) {
    const Offsets at = offsets_of(i, params.num_dims, &params.size_0, &params.dst_stride_0, &params.src_stride_0);
    if (params.dst_dtype == params.src_dtype) {
      copy_same(item_size(params.dst_dtype), params.dst, at.first, params.src, at.second);
    } else if (is_float_dtype(params.src_dtype)) {
      store_float(params.dst_dtype, params.dst, at.first, load_float(params.src_dtype, params.src, at.second));
    } else {
      store_integer(params.dst_dtype, params.dst, at.first, load_integer(params.src_dtype, params.src, at.second));
    }
  }
}
