// SPDX-License-Identifier: Apache-2.0
// The C interface of what stands around the convolutions: group normalisation, ReLU, the sum with a residual or a skip
// connection, up-sampling, softmax, and whole residual blocks of these. What conv4d_cuda.h says holds here as well.
#ifndef CARDIAC4D_CUDA_FUSED_H
#define CARDIAC4D_CUDA_FUSED_H

#include "conv4d_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

// A dense tensor of frames, physically N, T, H, W, D, C, that is aligned to 16 bytes.
typedef struct {
  int64_t batch, channels, size[4];  // H, W, D, T
  int32_t dtype;                     // not C4D_FLOAT64
} c4d_frames;

// Tensors, weights and bias are of one dtype; what belongs to a normalisation is float, sums are double (N, C, 2): of
// each channel its sum, and its sum of squares. Where nothing else is said, a workspace has c4d_cuda_fused_workspace
// bytes.

int c4d_cuda_channel_sums(const c4d_frames*, const void* x, double* sums, void* workspace, void* stream);
// y = the convolution, and the sums of y; not in float64. The workspace has c4d_cuda_conv4d_sums_workspace bytes.
int c4d_cuda_conv4d_sums(const c4d_problem*, const void* x, const void* w, const void* bias /* or NULL */, void* y,
                         double* sums, void* workspace, void* stream);
int64_t c4d_cuda_conv4d_sums_workspace(const c4d_problem*);  // on the current device
// y = skip + x repeated twice along H, W, D and T; the frames are those of y, x has half their size, rounded up.
int c4d_cuda_upsample_add(const c4d_frames*, const void* x, const void* skip, void* y, void* stream);
// dx = the sums of dy over the copies of each element; the frames are those of dy.
int c4d_cuda_upsample_grad(const c4d_frames*, const void* dy, void* dx, void* stream);
// y = skip + the 1x1x1x1 convolution of x, of in_channels, repeated as by upsample_add, and the sums of y.
int c4d_cuda_upsample_conv_add(const c4d_frames*, int64_t in_channels, const void* x, const void* w,
                               const void* bias /* or NULL */, const void* skip, void* y, double* sums,
                               void* workspace, void* stream);
enum { C4D_CUDA_MAX_CLASSES = 8 };
// y (float) = the softmax over `classes` of the 1x1x1x1 convolution of x; the frames are those of x.
int c4d_cuda_pointwise_softmax(const c4d_frames*, int64_t classes, const void* x, const void* w,
                               const void* bias /* or NULL */, float* y, void* stream);
int64_t c4d_cuda_fused_workspace(const c4d_frames*);  // bytes, for each of these

// What the softmax p is taken of, and the label y beside it: the 1x1x1x1 convolution of x, or x itself.
typedef struct {
  c4d_frames x;
  int64_t classes;       // up to C4D_CUDA_MAX_CLASSES; the channels of x where those are the logits
  const void *w, *bias;  // (classes, C); NULL: x are the logits. No bias: NULL
  const uint8_t* label;  // (N, T, H, W, D): below `classes`, or C4D_CUDA_NOT_ANNOTATED
  int32_t is_squared;
} c4d_cuda_head;
enum { C4D_CUDA_NOT_ANNOTATED = 255 };
enum { C4D_CUDA_MAX_HEAD = 4096 };  // classes * C, C in eights, where there is a w; MAX_HEAD of fusion.py
// sums (N, T, 2 * classes + 3) over the voxels of a frame: for each class that of p where y is the class, and that of
// p * p (or of p) where y is annotated plus the voxels of the class; then the squared change of all classes to the next
// frame, which the last one takes the first for; the annotated voxels, and those among them that have no such class.
int c4d_cuda_softmax_sums(const c4d_cuda_head*, const void* x, double* sums, void* workspace, void* stream);
// From the gradients of the sums: dx, and that of w with that of the bias as its last column, (classes, C + 1); either
// may be NULL, and the second one is where x are the logits.
int c4d_cuda_softmax_sums_grad(const c4d_cuda_head*, const void* x, const double* grad_sums, void* dx, float* dhead,
                               void* workspace, void* stream);
int64_t c4d_cuda_softmax_sums_workspace(const c4d_cuda_head*);  // bytes, for either

// GN, ReLU and a 3x3x3x3 convolution that keeps channels and size.
typedef struct {
  const float *norm_weight, *norm_bias;
  const void *weight, *bias;  // no bias: NULL
} c4d_cuda_half_block;
// Two of them in a row, plus the identity.
typedef struct {
  c4d_frames x;
  int64_t groups;
  int32_t precision;
  double eps;
  c4d_cuda_half_block first, second;
} c4d_cuda_block;
// Memory for the sums of the input, of the first convolution and of the output.
typedef struct {
  double *x, *y, *out;
} c4d_cuda_block_sums;
// Memory for the gradients of a half block; that of a weight may be NULL, and is not computed then.
typedef struct {
  float *norm_weight, *norm_bias;
  void* weight;
  float* bias;
} c4d_cuda_half_gradients;

// out (or x itself) and y, the output of the first convolution; sums->x is read if it is known, else computed.
int c4d_cuda_residual_block(const c4d_cuda_block*, const void* x, int x_sums_known, void* out, void* y,
                            const c4d_cuda_block_sums* sums, void* workspace, void* stream);
// The gradients from grad_out, and from what residual_block had and gave. Without memory for dx it is left out, as are
// the gradients of the first norm. first->bias takes the gradient of the first convolution's bias; that of the second,
// the sum of grad_out, is nobody's, and second->bias is not used. Without both dx and `inner` (NULL if nothing but
// the weight of the second convolution is wanted) the rest is left out, too.
int c4d_cuda_residual_block_grad(const c4d_cuda_block*, const void* grad_out, const void* x, const void* y,
                                 const double* sums_x, const double* sums_y, void* inner, void* dx,
                                 const c4d_cuda_half_gradients* first, const c4d_cuda_half_gradients* second,
                                 void* workspace, void* stream);
int64_t c4d_cuda_block_workspace(const c4d_cuda_block*, int is_for_gradient);  // bytes

#ifdef __cplusplus
}
#endif

#endif  // CARDIAC4D_CUDA_FUSED_H
