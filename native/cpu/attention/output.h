// Queries in, outputs and partial states out: rows of tensors in the dtype of q, converted from and to float32.
#pragma once

#include "cpu/attention/kernels.h"
#include "cpu/attention/micro_kernels.h"
#include "cpu/attention/simd.h"
#include "schedule_layout.h"

namespace warpbook::cpu::WB_ISA {

template <class T>
static void load_queries_as(const AttendJob& job, float* q, int stride) {
  const AttentionParams& params = *job.params;
  const HeadDim dim = head_dim_in_vectors(params.head_dim);
  for (int r = 0; r < job.num_rows; ++r) {
    const T* source = static_cast<const T*>(params.q) + job.rows[r].token * params.q_stride_token +
                      job.rows[r].head * params.q_stride_head;
    float* target = q + r * stride;
    for (int c = 0; c < dim.chunks; ++c) store(target + c * kWidth, load(source + c * kWidth));
    if (dim.half) store(target + dim.chunks * kWidth, load_chunk(source + dim.chunks * kWidth, true));
  }
}

static void load_queries(const AttendJob& job, float* q, int stride) {
  switch (job.params->q_dtype) {
    case DTYPE_FLOAT32: return load_queries_as<float>(job, q, stride);
    case DTYPE_FLOAT16: return load_queries_as<Float16>(job, q, stride);
    case DTYPE_BFLOAT16: return load_queries_as<BFloat16>(job, q, stride);
  }
}

// bfloat16 queries as they are, for dot_pairs.
static void copy_queries(const AttendJob& job, BFloat16* q, int stride) {
  const AttentionParams& params = *job.params;
  for (int r = 0; r < job.num_rows; ++r) {
    const BFloat16* source = static_cast<const BFloat16*>(params.q) + job.rows[r].token * params.q_stride_token +
                             job.rows[r].head * params.q_stride_head;
    memcpy(q + r * stride, source, sizeof(BFloat16) * params.head_dim);
  }
}

template <class T>
static void write_output_as(const AttentionParams& params, RowRef ref, const float* row) {
  T* target = static_cast<T*>(params.o) + ref.token * params.o_stride_token + ref.head * params.o_stride_head;
  for (int d = 0; d < params.head_dim; d += 8) store8(target + d, row + d);
}

// Writes head_dim floats of `row` to the output and the LSE beside it, if one is wanted.
static void write_output(const AttentionParams& params, RowRef ref, const float* row, float lse) {
  switch (params.q_dtype) {
    case DTYPE_FLOAT32: write_output_as<float>(params, ref, row); break;
    case DTYPE_FLOAT16: write_output_as<Float16>(params, ref, row); break;
    case DTYPE_BFLOAT16: write_output_as<BFloat16>(params, ref, row); break;
  }
  if (params.lse != nullptr) {
    static_cast<float*>(params.lse)[static_cast<int64_t>(ref.token) * params.num_qo_heads + ref.head] = lse;
  }
}

static void write_partial(const AttentionParams& params, int64_t slot, const float* row, float lse) {
  memcpy(static_cast<float*>(params.partial_o) + slot * params.head_dim, row, sizeof(float) * params.head_dim);
  static_cast<float*>(params.partial_lse)[slot] = lse;
}

}  // namespace warpbook::cpu::WB_ISA
