"""A learned filter over the slots of a history, in the frequency domain."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("sar_tf")
class FrequencyFilter(keras.layers.Layer):
    """Filter of FMLP-Rec: `irfft(W * rfft(x))` over the slots, for each channel.

    W is complex and learned, one number for each frequency and channel. The filter is
    the circular convolution

        y_n = sum_m w_{(n - m) mod N} x_m          w = irfft(W)

    and is computed as such: products of matrices of N x N numbers, which cost less than
    transforms at these lengths and run in bfloat16. The transforms of the authors are
    orthonormal; their factors cancel. The wrap-around lets early slots see late ones.

    Args:
        length: number of slots N. The filter is made for it.

    Call arguments:
        x: `(B, N, D)`.
        last_only: whether to compute only the last slot.

    Returns:
        `(B, N, D)`; with `last_only`, `(B, 1, D)`.

    Raises:
        ValueError: x has another number of slots.

    Example:

    >>> import numpy as np
    >>> tuple(FrequencyFilter(length=6)(np.ones((4, 6, 8), "float32")).shape)
    (4, 6, 8)

    Reference:
        [Zhou et al., 2022](https://arxiv.org/abs/2202.13556)
    """

    def __init__(self, length: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.length = length

    def build(self, x_shape):
        shape = (self.length // 2 + 1, x_shape[-1])
        self.real = self._part("real", shape)
        self.imaginary = self._part("imaginary", shape)

    def _part(self, name, shape):
        # In float32 whatever the policy: there is no other Fourier transform.
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            autocast=False,
        )

    def kernel(self) -> Any:
        """w: float32 `(D, N)`."""
        parts = (ops.transpose(self.real), ops.transpose(self.imaginary))
        return ops.irfft(parts, fft_length=self.length)

    def call(self, x: Any, last_only: bool = False) -> Any:
        if x.shape[1] != self.length:
            raise ValueError(
                f"{self.name}: a filter of length {self.length} cannot read "
                f"{x.shape[1]} slots"
            )
        kernel = ops.cast(self.kernel(), x.dtype)
        slots = ops.arange(self.length)
        read = slots[-1:] if last_only else slots
        distances = ops.mod(read[:, None] - slots[None, :], self.length)
        circulant = ops.take(kernel, distances, axis=1)
        return ops.einsum("dnm,bmd->bnd", circulant, x)

    def compute_output_shape(self, x_shape, last_only=False):
        return (x_shape[0], 1, x_shape[2]) if last_only else x_shape

    def get_config(self):
        return {**super().get_config(), "length": self.length}
