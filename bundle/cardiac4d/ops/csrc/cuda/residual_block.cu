// SPDX-License-Identifier: Apache-2.0
// Residual blocks and their gradients, queued as a whole. On tensor cores a convolution takes norm, ReLU, residual and
// sums along; float32 that stays float32 all but the sums. Else these are passes of their own, and of what lies between
// the layers one tensor at a time exists, in the workspace. It is never kept: the gradient computes it again.
#include <cuda_runtime.h>

#include "channel_sums.h"
#include "frames.h"
#include "group_norm.h"
#include "mma.h"
#include "mma_fused.h"
#include "tiled.h"

namespace c4d_cuda {
namespace {

c4d_problem convolution_of(const c4d_cuda_block& b) {
  c4d_problem p{};
  p.batch = b.x.batch;
  p.in_channels = p.out_channels = b.x.channels;
  p.groups = 1;
  for (int axis = 0; axis < 4; ++axis) {
    p.in[axis] = p.out[axis] = b.x.size[axis];
    p.kernel[axis] = 3;
    p.stride[axis] = p.padding[axis] = p.dilation[axis] = 1;
  }
  p.dtype = b.x.dtype;
  p.precision = b.precision;
  return p;
}

GroupNorm norm_of(const c4d_cuda_block& b, const c4d_cuda_half_block& half, const double* sums) {
  return {b.x.batch, b.x.channels, b.groups, volume(b.x.size), b.eps, half.norm_weight, half.norm_bias, sums};
}

bool runs_on_tensor_cores(const c4d_problem& p) { return mma_serves(p, false) && mma_serves(p, true); }

// Whether the weight gradient takes norm and ReLU along.
bool grad_weight_normalises(const c4d_problem& p) { return mma_serves_grad_weight(p) || tiled_serves_grad_weight(p); }

// The parts of a workspace, each aligned to 16 bytes; without memory, how large it must be.
struct Workspace {
  int64_t bytes = 0;
  float *scale, *shift, *abc;
  double* gradient_sums;
  void *pieces, *convolution, *between = nullptr;  // between: a tensor like the input, where norm and ReLU are a pass

  Workspace(const c4d_cuda_block& b, bool is_for_gradient, void* memory)
      : base_(static_cast<char*>(memory)) {
    const c4d_problem p = convolution_of(b);
    const int64_t numbers = b.x.batch * b.x.channels, element = b.x.dtype == C4D_FLOAT32 ? 4 : 2;
    int64_t most = 0;
    for (const int operation : {C4D_CUDA_FORWARD, C4D_CUDA_GRAD_INPUT, C4D_CUDA_GRAD_WEIGHT}) {
      const int64_t needed = c4d_cuda_workspace(&p, operation);
      most = needed > most ? needed : most;
    }
    scale = static_cast<float*>(take(numbers * int64_t(sizeof(float))));
    shift = static_cast<float*>(take(numbers * int64_t(sizeof(float))));
    abc = static_cast<float*>(take(3 * numbers * int64_t(sizeof(float))));
    gradient_sums = static_cast<double*>(take(2 * numbers * int64_t(sizeof(double))));
    const int64_t tiles = runs_on_tensor_cores(p) ? mma_pieces_bytes(p) : 0, sums = channel_sums_workspace(b.x);
    pieces = take(tiles > sums ? tiles : sums);
    convolution = take(most);
    const bool is_fused = is_for_gradient ? grad_weight_normalises(p) : runs_on_tensor_cores(p) || tiled_serves(p);
    if (!is_fused) between = take(numbers * volume(b.x.size) * element);
  }

 private:
  void* take(int64_t wanted) {
    void* taken = base_ == nullptr ? nullptr : base_ + bytes;
    bytes += (wanted + 15) / 16 * 16;
    return taken;
  }

  char* base_;
};

// Runs steps up to the first that fails.
struct Steps {
  int status = cudaSuccess;

  template <class Step>
  void run(const Step& step) {
    if (status == cudaSuccess) status = step();
  }
};

// out = conv(relu(norm(x))) + bias + residual (or null), and its sums. out may be the residual. y: another tensor that
// may be written, or out, if that is not the residual.
int half_forward(const c4d_cuda_block& b, const c4d_cuda_half_block& half, const Workspace& memory, const void* x,
                 const double* sums_x, const void* residual, void* y, void* out, double* sums_out, void* stream) {
  const c4d_problem p = convolution_of(b);
  Steps steps;
  steps.run([&] { return norm_scale_shift(norm_of(b, half, sums_x), memory.scale, memory.shift, stream); });
  if (runs_on_tensor_cores(p)) {
    steps.run([&] {
      return mma_norm_relu_forward(p, x, memory.scale, memory.shift, half.weight, half.bias, residual, out, sums_out,
                                   memory.convolution, memory.pieces, stream);
    });
    return steps.status;
  }
  if (tiled_serves(p)) {
    steps.run([&] {
      return tiled_norm_relu_forward(p, x, memory.scale, memory.shift, half.weight, half.bias, residual, out,
                                     memory.convolution, stream);
    });
    steps.run([&] { return channel_sums(b.x, out, sums_out, memory.pieces, stream); });
    return steps.status;
  }
  steps.run([&] { return norm_relu(b.x, x, memory.scale, memory.shift, memory.between, stream); });
  steps.run([&] {
    return c4d_cuda_forward(&p, memory.between, half.weight, half.bias, y, memory.convolution, stream);
  });
  steps.run([&] {
    return residual == nullptr ? channel_sums(b.x, y, sums_out, memory.pieces, stream)
                               : add_and_sum(b.x, y, residual, out, sums_out, memory.pieces, stream);
  });
  return steps.status;
}

// dw of conv(relu(norm(x))) from dy.
int half_grad_weight(const c4d_cuda_block& b, const Workspace& memory, const void* dy, const void* x, void* dw,
                     void* stream) {
  const c4d_problem p = convolution_of(b);
  if (mma_serves_grad_weight(p)) {
    return mma_norm_relu_grad_weight(p, x, memory.scale, memory.shift, dy, dw, memory.convolution, stream);
  }
  if (tiled_serves_grad_weight(p)) {
    return tiled_norm_relu_grad_weight(p, x, memory.scale, memory.shift, dy, dw, memory.convolution, stream);
  }
  const int status = norm_relu(b.x, x, memory.scale, memory.shift, memory.between, stream);
  if (status != cudaSuccess) return status;
  return c4d_cuda_grad_weight(&p, memory.between, dy, dw, memory.convolution, stream);
}

// dx of conv(relu(norm(x))) from dy, plus `add`; see fused.h for what may be null. The gradient behind the ReLU lies in
// dx before that of x does.
int half_grad(const c4d_cuda_block& b, const c4d_cuda_half_block& half, const Workspace& memory, const void* dy,
              const void* x, const double* sums_x, const void* add, void* dx,
              const c4d_cuda_half_gradients& gradients, float* sum_dx, void* stream) {
  const c4d_problem p = convolution_of(b);
  const GroupNorm norm = norm_of(b, half, sums_x);
  Steps steps;
  steps.run([&] { return norm_scale_shift(norm, memory.scale, memory.shift, stream); });
  if (gradients.weight != nullptr) {
    steps.run([&] { return half_grad_weight(b, memory, dy, x, gradients.weight, stream); });
  }
  if (dx == nullptr) return steps.status;
  if (runs_on_tensor_cores(p)) {
    steps.run([&] {
      return mma_norm_relu_grad_input(p, dy, half.weight, x, memory.scale, memory.shift, dx, memory.gradient_sums,
                                      memory.convolution, memory.pieces, stream);
    });
  } else {
    steps.run([&] { return c4d_cuda_grad_input(&p, dy, half.weight, dx, memory.convolution, stream); });
    steps.run([&] {
      return norm_gradient_sums(b.x, dx, x, memory.scale, memory.shift, memory.gradient_sums, memory.pieces,
                                stream);
    });
  }
  steps.run([&] {
    return norm_gradients(norm, memory.gradient_sums, memory.abc, gradients.norm_weight, gradients.norm_bias, sum_dx,
                          stream);
  });
  steps.run([&] {
    return norm_relu_grad(b.x, dx, x, memory.scale, memory.shift, memory.abc, add, dx, stream);
  });
  return steps.status;
}

bool is_block(const c4d_cuda_block* b) {
  if (b == nullptr || b->groups < 1 || b->x.channels < 1 || b->x.channels % b->groups != 0) return false;
  const c4d_problem p = convolution_of(*b);
  return p.dtype != C4D_FLOAT64 && c4d_is_problem(&p);
}

}  // namespace
}  // namespace c4d_cuda

int c4d_cuda_residual_block(const c4d_cuda_block* b, const void* x, int x_sums_known, void* out, void* y,
                            const c4d_cuda_block_sums* sums, void* workspace, void* stream) {
  using namespace c4d_cuda;
  if (!is_block(b)) return C4D_CUDA_BAD_PROBLEM;
  const Workspace memory(*b, false, workspace);
  void* second = out == x ? y : out;  // the residual must not be lost before it is added
  Steps steps;
  if (!x_sums_known) steps.run([&] { return channel_sums(b->x, x, sums->x, memory.pieces, stream); });
  steps.run([&] { return half_forward(*b, b->first, memory, x, sums->x, nullptr, y, y, sums->y, stream); });
  steps.run([&] { return half_forward(*b, b->second, memory, y, sums->y, x, second, out, sums->out, stream); });
  return steps.status;
}

int c4d_cuda_residual_block_grad(const c4d_cuda_block* b, const void* grad_out, const void* x, const void* y,
                                 const double* sums_x, const double* sums_y, void* inner, void* dx,
                                 const c4d_cuda_half_gradients* first, const c4d_cuda_half_gradients* second,
                                 void* workspace, void* stream) {
  using namespace c4d_cuda;
  if (!is_block(b)) return C4D_CUDA_BAD_PROBLEM;
  const Workspace memory(*b, true, workspace);
  // The sum of what the second half gives is the gradient of the bias before its norm, that of the first convolution.
  const int status =
      half_grad(*b, b->second, memory, grad_out, y, sums_y, nullptr, inner, *second, first->bias, stream);
  if (status != cudaSuccess || inner == nullptr) return status;
  return half_grad(*b, b->first, memory, inner, x, sums_x, grad_out, dx, *first, nullptr, stream);
}

int64_t c4d_cuda_block_workspace(const c4d_cuda_block* b, int is_for_gradient) {
  return c4d_cuda::is_block(b) ? c4d_cuda::Workspace(*b, is_for_gradient != 0, nullptr).bytes : 0;
}
