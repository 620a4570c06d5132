"""The sum of a large model's components: bound by memory, so that half the bytes take half the time."""

from __future__ import annotations

import numpy as np
from numba import types

from mien.compiled import compiled

_BLOCK = 4096
"""Numbers of the sum that are kept in the processor's nearest memory."""


@compiled(
    types.void(
        types.Array(types.float32, 1, "C", readonly=True),
        types.Array(types.int16, 2, "C", readonly=True),
        types.float32[::1],
    ),
    nogil=True,
    fastmath={"contract"},
    error_model="numpy",
)
def combine(weights, components, out):
    """Adds to `out` (N,) the components (K, N), each times its weight (K,).

    Eight components at a time, which saves stores.
    """
    count, w = len(weights), weights
    for start in range(0, len(out), _BLOCK):
        stop = min(start + _BLOCK, len(out))
        total = out[start:stop]
        for k in range(0, count - 7, 8):
            a, b = components[k, start:stop], components[k + 1, start:stop]
            c, d = components[k + 2, start:stop], components[k + 3, start:stop]
            e, f = components[k + 4, start:stop], components[k + 5, start:stop]
            g, h = components[k + 6, start:stop], components[k + 7, start:stop]
            for i in range(len(total)):
                first = w[k] * np.float32(a[i]) + w[k + 1] * np.float32(b[i])
                second = w[k + 2] * np.float32(c[i]) + w[k + 3] * np.float32(d[i])
                third = w[k + 4] * np.float32(e[i]) + w[k + 5] * np.float32(f[i])
                fourth = w[k + 6] * np.float32(g[i]) + w[k + 7] * np.float32(h[i])
                total[i] += (first + second) + (third + fourth)
        for k in range(count - count % 8, count):
            row = components[k, start:stop]
            for i in range(len(total)):
                total[i] += w[k] * np.float32(row[i])
