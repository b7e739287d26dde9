"""Faults to plant in the wgmma kernels, and which the tests must catch: {what: ((statement, faulty statement), ...)}

Each statement is once in the flattened source, and declares nothing.
"""

from __future__ import annotations

from npresnet.cuda.launchers import conv2d_wgmma, conv2d_wgmma_tma

LAST_RELEASE = "release(last);  // before the epilogue: the producer goes on with the next tile meanwhile"
FENCE = "fence_async_proxy();              // cp.async writes as threads do, wgmma reads as the copy engine does"
BARRIER = "__syncthreads();                  // everybody's part; and no warpgroup multiplies slab - 2 any more"
SHARED_FAULTS = {
    "operands not swizzled": (
        (
            "return (address & 0x3FFFFu) >> 4 | 1ull << 16 | eight_rows << 32 | 1ull << 62;",
            "return (address & 0x3FFFFu) >> 4 | 1ull << 16 | eight_rows << 32;",
        ),
    ),
    "wrong distance of eight rows": (
        (
            "return (address & 0x3FFFFu) >> 4 | 1ull << 16 | eight_rows << 32 | 1ull << 62;",
            "return (address & 0x3FFFFu) >> 4 | 1ull << 16 | eight_rows / 2 << 32 | 1ull << 62;",
        ),
    ),
    "no step along K": (
        (
            "wgmma<COLUMNS>(sums, operand(a) + i * step, operand(b) + i * step);",
            "wgmma<COLUMNS>(sums, operand(a) + i * step, operand(b));",
        ),
    ),
    "strip read before it is written": (
        (
            "warp_sync();\n      tile.store(residual[part % 2], [&](int row) { return position_of(part, row); });",
            "tile.store(residual[part % 2], [&](int row) { return position_of(part, row); });",
        ),
    ),
    "strip overwritten before it is read": (
        ("warp_sync();  // the next part overwrites what other lanes have just read", ";"),
    ),
    "residual of another part": (
        (
            "if (part + 1 < PARTS) ask_residual(part + 1);",
            "if (part + 1 < PARTS) ask_residual(part);",
        ),
    ),
    "sums looked at while still multiplied": (("wgmma_wait<0>();", "wgmma_wait<0 + 1>();"),),
    "sums multiplied while threads may still use them": (("wgmma_fence();", ";"),),
}
FAULTS = {
    conv2d_wgmma: {
        "wait_group off by one": (("copy_async_wait<PREFETCH - 1>();", "copy_async_wait<PREFETCH>();"),),
        "no barrier after a slab has landed": ((BARRIER, ";"),),
        "slab landed for threads only": ((FENCE, ";"),),
        "slab fenced by a part of the threads": ((FENCE, "if (threadIdx.x / 32 != 3) fence_async_proxy();"),),
        "slab fenced before it has landed": (
            ("copy_async_wait<PREFETCH - 1>();", "fence_async_proxy(); copy_async_wait<PREFETCH - 1>();"),
            (FENCE, ";"),
        ),
        "slab fenced after the barrier": (
            (FENCE, ";"),
            (BARRIER, "__syncthreads(); fence_async_proxy();"),
        ),
        "stage filled again while multiplied": (("wgmma_wait<1>();", "wgmma_wait<2>();"),),
        "strips over a ring that is still read": (
            ("__syncthreads();  // the other warps have read the ring, too", ";"),
        ),
        "chunks not swizzled": (
            (
                "place = row * SLAB_BYTES + (chunk ^ row % 8) * 16;",
                "place = row * SLAB_BYTES + chunk * 16;",
            ),
        ),
        "a channel too many at the end of a tap": (
            (
                "while (c >= conv.C) {\n      c -= conv.C;\n      if (++s == conv.KW) s = 0, r++;\n    }",
                "while (c > conv.C) {\n      c -= conv.C;\n      if (++s == conv.KW) s = 0, r++;\n    }",
            ),
        ),
        "warpgroups multiply the same rows": (
            (
                "multiply_slab<COLUMNS>(sums[0], stage(slab) + warpgroup * WGMMA_ROWS * SLAB_BYTES, "
                "stage(slab) + A_BYTES);",
                "multiply_slab<COLUMNS>(sums[0], stage(slab), stage(slab) + A_BYTES);",
            ),
        ),
    },
    conv2d_wgmma_tma: {
        "full not waited for": (("barrier_wait(ring.full(ring.stage), ring.round);", ";"),),
        "empty not waited for": (("barrier_wait(ring.empty(ring.stage), ring.round ^ 1);", ";"),),
        "consumers' parity wrong": (
            (
                "barrier_wait(ring.full(ring.stage), ring.round);",
                "barrier_wait(ring.full(ring.stage), ring.round ^ 1);",
            ),
        ),
        "producer's parity wrong": (
            (
                "barrier_wait(ring.empty(ring.stage), ring.round ^ 1);",
                "barrier_wait(ring.empty(ring.stage), ring.round);",
            ),
        ),
        "parity never changes": (
            ("if (++stage == STAGES) stage = 0, round ^= 1;", "if (++stage == STAGES) stage = 0;"),
        ),
        "consumers start anew with every tile": ((LAST_RELEASE, "release(last); ring.stage = 0, ring.round = 0;"),),
        "stage released while multiplied": (("wgmma_wait<1>();", "wgmma_wait<2>();"),),
        "this slab's stage released, not the last's": (
            ("if (slab > 0) release(last);", "release(ring.stage);"),
            (LAST_RELEASE, ";"),
        ),
        "last stage of a tile never released": ((LAST_RELEASE, ";"),),
        "too few bytes expected": (
            ("barrier_expect(full, Ring::STAGE_BYTES);", "barrier_expect(full, Ring::A_BYTES);"),
        ),
        "too many bytes expected": (
            ("barrier_expect(full, Ring::STAGE_BYTES);", "barrier_expect(full, Ring::STAGE_BYTES + 16);"),
        ),
        "barriers initialised for one thread only": (("barrier_init_fence();", ";"),),
        "only the producer's half of a barrier": (
            ("barrier_init(empty(i), 4 * CONSUMERS);", "barrier_init(empty(i), 4);"),
        ),
        "barriers not seen by all": (
            (
                "if (threadIdx.x == 0) ring.initialise();\n  __syncthreads();",
                "if (threadIdx.x == 0) ring.initialise();",
            ),
        ),
        "im2col offsets swapped": (
            (
                "tensor_copy_im2col(ring.a(), activations, full, c, w, h, n, "
                "s * conv.dilation_w, r * conv.dilation_h);",
                "tensor_copy_im2col(ring.a(), activations, full, c, w, h, n, "
                "r * conv.dilation_h, s * conv.dilation_w);",
            ),
        ),
        "weights' coordinates swapped": (
            (
                "tensor_copy_2d(ring.b(), weights, full, k, tiles.channel(tile));",
                "tensor_copy_2d(ring.b(), weights, full, tiles.channel(tile), k);",
            ),
        ),
        "sums of the tile before": (("sums[block][i] = 0.f;", "if (tile == blockIdx.x) sums[block][i] = 0.f;"),),
        "consumers multiply the same rows": (
            (
                "multiply_slab<COLUMNS>(sums[block], ring.a() + (first_row + block * WGMMA_ROWS) * SLAB_BYTES, "
                "ring.b());",
                "multiply_slab<COLUMNS>(sums[block], ring.a() + block * WGMMA_ROWS * SLAB_BYTES, ring.b());",
            ),
        ),
        "a tile left out": ((LAST_RELEASE, "release(last); if (tile == 4) continue;"),),
    },
}
