// SPDX-License-Identifier: Apache-2.0
// Residual blocks of fused kernels. Neither the normalised tensors nor those behind the ReLU are ever stored.
#include "residual_block.h"

#include <memory>
#include <new>

namespace {

c4d_problem convolution(const c4d_residual_block& b) {
  c4d_problem p{};
  p.batch = b.batch;
  p.in_channels = p.out_channels = b.channels;
  p.groups = 1;
  for (int axis = 0; axis < 4; ++axis) {
    p.in[axis] = p.out[axis] = b.size[axis];
    p.kernel[axis] = 3;
    p.stride[axis] = p.padding[axis] = p.dilation[axis] = 1;
  }
  p.dtype = C4D_FLOAT32;
  p.precision = b.precision;
  return p;
}

c4d_tensor tensor(const c4d_residual_block& b) {
  return {b.batch, b.channels, {b.size[0], b.size[1], b.size[2], b.size[3]}, C4D_FLOAT32};
}

c4d_group_norm group_norm(const c4d_residual_block& b, const c4d_half_block& half, const double* sums) {
  const int64_t volume = b.size[0] * b.size[1] * b.size[2] * b.size[3];
  return {b.batch, b.channels, b.groups, volume, b.eps, half.norm_weight, half.norm_bias, sums};
}

// The small arrays of one half block; false without memory.
class Arrays {
 public:
  explicit Arrays(const c4d_residual_block& b)
      : count_(b.batch * b.channels), floats_(new (std::nothrow) float[static_cast<size_t>(count_) * 6]),
        sums_(new (std::nothrow) double[static_cast<size_t>(count_) * 2]) {}

  explicit operator bool() const { return floats_ != nullptr && sums_ != nullptr; }
  float* scale() { return floats_.get(); }
  float* shift() { return floats_.get() + count_; }
  float* abc() { return floats_.get() + 2 * count_; }
  float* spare() { return floats_.get() + 5 * count_; }
  double* sums() { return sums_.get(); }

 private:
  int64_t count_;
  std::unique_ptr<float[]> floats_;
  std::unique_ptr<double[]> sums_;
};

bool is_valid(const c4d_residual_block* b) {
  return b != nullptr && b->batch > 0 && b->channels > 0 && b->groups > 0 && b->channels % b->groups == 0;
}

int half_forward(const c4d_residual_block& b, const c4d_half_block& half, const float* x, const double* sums_x,
                 const float* residual, float* y, double* sums_y, c4d_parallel_for run) {
  Arrays arrays(b);
  if (!arrays) return C4D_NO_MEMORY;
  const c4d_problem problem = convolution(b);
  const c4d_group_norm norm = group_norm(b, half, sums_x);
  c4d_cpu_norm_scale_shift(&norm, arrays.scale(), arrays.shift());
  return c4d_cpu_norm_relu_forward(&problem, x, arrays.scale(), arrays.shift(), half.weight, half.bias, residual, y,
                                   sums_y, run);
}

// dx of conv(relu(norm(x))) from dy, plus `add`. Without memory for the weight's gradient or for dx these are left out,
// the latter together with the gradients of the norm.
int half_grad(const c4d_residual_block& b, const c4d_half_block& half, const float* dy, const float* x,
              const double* sums_x, const float* add, float* dx, const c4d_half_gradients& gradients, float* sum_dx,
              c4d_parallel_for run) {
  Arrays arrays(b);
  if (!arrays) return C4D_NO_MEMORY;
  const c4d_problem problem = convolution(b);
  const c4d_tensor like = tensor(b);
  const c4d_group_norm norm = group_norm(b, half, sums_x);
  c4d_cpu_norm_scale_shift(&norm, arrays.scale(), arrays.shift());
  int status = C4D_OK;
  if (gradients.weight != nullptr) {
    status = c4d_cpu_norm_relu_grad_weight(&problem, x, arrays.scale(), arrays.shift(), dy, gradients.weight, run);
  }
  if (status != C4D_OK || dx == nullptr) return status;
  status = c4d_cpu_norm_relu_grad_input(&problem, dy, half.weight, x, arrays.scale(), arrays.shift(), dx,
                                        arrays.sums(), run);
  if (status != C4D_OK) return status;
  c4d_cpu_norm_gradients(&norm, arrays.sums(), arrays.abc(), gradients.norm_weight, gradients.norm_bias,
                         sum_dx != nullptr ? sum_dx : arrays.spare());
  return c4d_cpu_norm_input_grad(&like, dx, x, arrays.abc(), add, dx, run);
}

}  // namespace

int c4d_cpu_residual_block(const c4d_residual_block* b, const float* x, int x_sums_known, float* out, float* y,
                           const c4d_block_sums* sums, c4d_parallel_for run) {
  if (!is_valid(b)) return C4D_BAD_PROBLEM;
  const c4d_tensor like = tensor(*b);
  int status = x_sums_known ? C4D_OK : c4d_cpu_channel_sums(&like, x, sums->x, run);
  if (status != C4D_OK) return status;
  status = half_forward(*b, b->first, x, sums->x, nullptr, y, sums->y, run);
  if (status != C4D_OK) return status;
  return half_forward(*b, b->second, y, sums->y, x, out, sums->out, run);
}

int c4d_cpu_residual_block_grad(const c4d_residual_block* b, const float* grad_out, const float* x, const float* y,
                                const double* sums_x, const double* sums_y, float* work, float* dx,
                                const c4d_half_gradients* first, const c4d_half_gradients* second,
                                c4d_parallel_for run) {
  if (!is_valid(b)) return C4D_BAD_PROBLEM;
  // sum_dx of the second half is the gradient of the bias before its norm, that of the first convolution.
  const int status = half_grad(*b, b->second, grad_out, y, sums_y, nullptr, work, *second, first->bias, run);
  if (status != C4D_OK || work == nullptr) return status;
  return half_grad(*b, b->first, work, x, sums_x, grad_out, dx, *first, nullptr, run);
}
