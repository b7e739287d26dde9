"""
5. From naive CUDA to tensor cores
==================================

A GPU runs thousands of threads at once, and is still mostly waiting for memory. Fast kernels are about who reads which
byte, how often, and who waits for whom. You do not need a GPU to learn that: here a thread is a Python generator, and
the machine that runs it counts every access and catches every race. The real kernels are in `kernels/`, and this
lesson ends at their door.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from npresnet.teach.access_pictures import draw
from npresnet.teach.simt import KernelError, launch
from npresnet.teach.simt_kernels import TILE, conv1d_direct, conv1d_shared, matmul_direct, matmul_tiled

# %% [markdown]
# Threads, blocks, warps
# ----------------------
#
# A kernel is a function that every thread runs, each with its own number. Threads come in blocks, and inside a block in
# *warps* of 32, which execute each instruction together. The usual first line works out which number is mine:


# %%
def scale(cuda, x, y):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < len(y):
        y[i] = 2 * x[i]


x = np.arange(40, dtype=np.float32)
y = np.zeros(40, np.float32)
print(launch(scale, x, y, grid=2, block=32))
print(y[:8], "...", y[-2:])

# %% [markdown]
# The `if` is not decoration. 40 numbers need two blocks of 32 threads, and 24 of those threads have nothing to do. Without
# the test they would reach outside the array:


# %%
def careless(cuda, x, y):
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    y[i] = 2 * x[i]


try:
    launch(careless, x, y, grid=2, block=32)
except KernelError as error:
    print(error)

# %% [markdown]
# Coalescing: read your neighbour's bytes together
# ------------------------------------------------
#
# Memory answers in sectors of 32 bytes: eight float32. When the 32 threads of a warp read 32 neighbouring numbers, four
# sectors do. When they read every eighth number, each thread needs a sector of its own, and seven eighths of what the
# memory delivers is thrown away.


# %%
def gather(cuda, x, y, step):
    i = cuda.threadIdx.x
    y[i] = x[i * step]


x, y = np.zeros(256, np.float32), np.zeros(32, np.float32)
for step in (1, 2, 8):
    load = launch(gather, x, y, step).warps()[0]
    print(f"step {step}: {len(load.sectors):2d} sectors, at best {load.least_sectors}")

# %%
steps = range(1, 9)
figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
axis.bar(steps, [len(launch(gather, x, y, step).warps()[0].sectors) for step in steps], color="#5b7fb0")
axis.axhline(4, color="#a8590f", linestyle="--")
axis.set(title="Sectors that a warp of 32 threads reads; 4 at best", xlabel="step between neighbours", ylabel="sectors")
plt.show()

# %%
draw(launch(gather, x, y, 1).warps()[0])

# %%
draw(launch(gather, x, y, 2).warps()[0])

# %% [markdown]
# So the first rule: neighbouring threads read neighbouring addresses. It decides how arrays should lie. A convolution whose
# threads take neighbouring *channels* wants the channels of a pixel beside each other: NHWC, which is what npresnet uses.
#
# Shared memory: read once, use often
# -----------------------------------
#
# A filter of nine taps along a row: each output reads nine inputs, so each input is read nine times. A block has a little
# memory of its own, on the chip and about as fast as registers. Let the block bring its piece of `x` there once, halo
# included, and read it from there:

# %%
x = np.random.default_rng(0).integers(-9, 10, 64 + 8).astype(np.float32)
taps, y = np.ones(9, np.float32), np.zeros(64, np.float32)
for kernel in (conv1d_direct, conv1d_shared):
    run = launch(kernel, x, taps, y, grid=2, block=32)
    loads = sum(line.cost for line in run.lines() if line.array == "x")
    print(f"{kernel.__name__:14s} sectors of x read: {loads:3d}   right: {bool((y == np.correlate(x, taps)).all())}")

# %% [markdown]
# The barrier
# -----------
#
# Threads of different warps run at their own pace. A thread that reads what another one brought must know that it has
# arrived: `__syncthreads()`, here a `yield`. Leave it out, and on a GPU the result is right on most days. Here it is an
# error at once, with names:


# %%
def rotate(cuda, x, y):
    S = cuda.shared("S", 32)
    i = cuda.threadIdx.x
    S[i] = x[i]
    # the missing line: yield
    y[i] = S[(i + 1) % 32]


try:
    launch(rotate, np.arange(32, dtype=np.float32), np.zeros(32, np.float32))
except KernelError as error:
    print(error)

# %% [markdown]
# Tiles: the matrix product
# -------------------------
#
# With im2col in mind (lesson 2), a convolution is a matrix product, so everything rests on this kernel. One thread for
# each entry of `C = A @ B` reads a whole row and a whole column. In tiles, a block brings a square of `A` and a square of
# `B` to shared memory, multiplies them, and moves on:

# %%
rng = np.random.default_rng(0)
a, b = (rng.integers(-9, 10, (32, 32)).astype(np.float32) for _ in range(2))
c = np.zeros((32, 32), np.float32)
for kernel in (matmul_direct, matmul_tiled):
    run = launch(kernel, a, b, c, grid=(32 // TILE, 32 // TILE), block=(TILE, TILE))
    print(f"{kernel.__name__:14s} {run.sectors:5d} sectors of global memory, right: {bool((c == a @ b).all())}")

# %% [markdown]
# Larger tiles save more: an entry of `A` is read once for every tile beside it. That is the whole game, played at three
# levels. Global memory to shared memory in tiles of 128 x 128; shared memory to registers in tiles of 8 x 8 a thread, so
# that eight numbers of `A` and eight of `B` make 64 products; and while one tile is multiplied, the next is already on
# its way.
#
# Bank conflicts
# --------------
#
# Shared memory has 32 banks, each a 4-byte word wide. A warp that reads 32 words of 32 banks gets them in one turn; 32
# words of one bank take 32 turns. Reading a column of a 32 x 32 array does just that. One unused number at the end of each
# row moves every row to the next bank:


# %%
def column(cuda, y, pitch):
    S = cuda.shared("S", 32 * 33)
    i = cuda.threadIdx.x
    S[i * pitch] = i
    yield
    y[i] = S[i * pitch]


for pitch in (32, 33):
    access = launch(column, np.zeros(32, np.float32), pitch).warps()[0]
    print(f"rows of {pitch} numbers: {access.turns} turns")

# %%
draw(launch(column, np.zeros(32, np.float32), 33).warps()[0])

# %% [markdown]
# npresnet's tensor-core kernels use no padding but a *swizzle*: the 16-byte chunk c of row r is stored at chunk `c ^ (r % 8)`.
# It costs no memory, and the eight rows that one instruction reads lie in different banks:

# %%
for r in range(8):
    print("row", r, "chunks stored at", [c ^ (r % 8) for c in range(8)])

# %% [markdown]
# Tensor cores
# ------------
#
# The last level is a different instruction. `mma.sync` lets a whole warp multiply a 16 x 16 by a 16 x 8 matrix of half
# precision numbers at once: 2,048 multiply-adds, where 32 threads with ordinary ones would do 32. The price is that the
# operands must lie in the registers of the 32 threads in a prescribed pattern; `ldmatrix` brings them there from shared
# memory. On Hopper, `wgmma` lets four warps multiply straight from shared memory, and a copy engine (TMA) fetches tiles,
# im2col included, while nobody waits.
#
# Half precision keeps 11 binary digits. Products are summed in float32, so the error of a dot product stays near that of
# rounding its inputs once:

# %%
rng = np.random.default_rng(0)
w, v = rng.standard_normal((2, 1000, 576))
exact = (w * v).sum(1)
halves = [part.astype(np.float16).astype(np.float64) for part in (w, v)]
error = np.sqrt(np.mean(((halves[0] * halves[1]).sum(1) - exact) ** 2) / np.mean(exact**2))
print(f"inputs rounded to half: error {error:.1e}; 2^-11 is {2**-11:.1e}")

# %% [markdown]
# The real thing
# --------------
#
# The folder `kernels/conv2d` is a ladder of files, one idea each, and its README says what each costs and gains: `direct`,
# `im2col` and `gemm`, `tiled`, `registers`, `mma`, `wgmma`, `wgmma_tma`. Each begins with its equation and with what the
# next one mends. You have now met every idea in them.
#
# Try it
# ------
#
# - The exercise `shared_memory`.
# - Draw the loads of `matmul_direct` for `b` and for `a`. Which one is coalesced, and why does the other hurt less than it
#   seems? (How many different addresses does a warp read?)
# - Give `matmul_tiled` a matrix of 30 x 30. Which lines keep it right?
