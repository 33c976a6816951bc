"""The words of a plan: what stands where in the tables that the sweeps walk.

A plan is one table of int64 words: a head, a block for every worker, then records for phases, ops and weight tiles.
Records hold addresses, sizes and strides (in bytes); numbers that are real stand as float64 bits. Python writes the
table once, kernels read it; the head's words that change from step to step belong to `engine.sweeps`.
"""

from __future__ import annotations

from itertools import count

WORD = 8

# Head. The first three parts are contended between threads and have lines of their own.
# Which phase is on: serial number << 32 | tasks << 8 | index; STOPPED when the plan has run out of steps.
NOW = 0
DONE = 8  # tasks of this phase that are complete
_word = count(16)
SCAN = next(_word)  # addresses of the kernels that look at inputs and at targets before a step
SCAN_TARGETS = next(_word)
CLASSES = next(_word)  # outputs of the network
LOSS_OP = next(_word)  # address of the loss's record
THREADS = next(_word)
WORKERS = next(_word)  # address of the first worker's block
WORKER_BYTES = next(_word)  # from one worker's block to the next
MAGNITUDE_COUNT = next(_word)  # numbers that ops go by, column groups of one op by the same
PHASES = next(_word)  # address of the first phase's record
PHASE_COUNT = next(_word)
OPS = next(_word)  # address of the first op's record
OP_COUNT = next(_word)
LAYERS = next(_word)  # address of the first weight record
LAYER_COUNT = next(_word)
TILES = next(_word)  # address of the first weight tile's record
TILE_COUNT = next(_word)
ROWS = next(_word)  # rows in this batch, or rows in all for a plan that is no training
BATCH = next(_word)  # rows of a full batch
TOTAL = next(_word)  # rows of the data set
CURSOR = next(_word)  # where in the shuffled order this batch begins
ORDER = next(_word)  # address of the shuffled order, one uint32 a row; 0 takes the rows as they come
INDEX = next(_word)  # address of this batch's row numbers inside ORDER; 0 takes the rows as they come
SHUFFLE = next(_word)  # 1: shuffle before each pass
SEED = next(_word)
EPOCH = next(_word)
STEP = next(_word)  # optimiser steps done
STEPS_LEFT = next(_word)
RATES = next(_word)  # address of the learning rate of each step of this call, as float64
RATE_AT = next(_word)
RATE = next(_word)  # of this step, float64
STATUS = next(_word)  # 0, or 1 + the index of the first layer that was not finite
CHECKING = next(_word)  # 1 while weight tiles only look for numbers that are not finite
BEGIN = next(_word)  # addresses of the kernels of `engine.sweeps`
BEGIN_BATCH = next(_word)
WORK = next(_word)
TRAINING = next(_word)  # 1: steps over batches; 0: one walk over the phases
LIMIT = next(_word)  # a product of magnitudes below which no gradient can overflow, as float64
FINITE = next(_word)  # the first bits of a real that is not finite
INPUT_MAX = next(_word)  # the largest magnitude among the inputs, as bits
OPTIMIZER = next(_word)  # address of the optimiser's kernel
ROW_LOSS = next(_word)  # address of the loss of each row of the batch
LOSS = next(_word)  # mean loss of the last batch, float64
PASS_LOSS = next(_word)  # sum of the rows' losses in this pass, float64
PASS_ROWS = next(_word)
PASSES = next(_word)  # address of the mean loss of each finished pass of this call, float64
PASS_AT = next(_word)
PASS_LIMIT = next(_word)  # the call ends when so many passes are finished
PARAMETERS = next(_word)  # addresses of the parameters, and of what the optimiser keeps for each, laid out alike
MOMENT_1 = next(_word)
MOMENT_2 = next(_word)
GRADIENTS = next(_word)
INVERSE_ROWS = next(_word)  # 1 / ROWS, float64
# What the optimiser multiplies with in this step, float64; the meaning is the optimiser's.
FACTORS = next(_word)
FACTOR_COUNT = 8
for _ in range(FACTOR_COUNT - 1):
    next(_word)
# What the optimiser was told when it was made, float64.
SETTINGS = next(_word)
SETTING_COUNT = 8
for _ in range(SETTING_COUNT - 1):
    next(_word)
OPTIMIZER_PLAN = next(_word)  # address of the function that turns SETTINGS into FACTORS
SPARE = next(_word)  # for a number on its way from one type to another
TICKETS = -(-next(_word) // 8) * 8  # then, a line a thread: serial number and how many of its tasks are taken
MAX_THREADS = 256
HEAD_WORDS = TICKETS + 8 * MAX_THREADS

STOPPED = -1
MAX_PHASES = 256

# A worker's block.
_word = count(0)
HEAD = next(_word)  # address of the head
SHIFT = next(_word)  # row of the user's array minus row of the buffers
SCRATCH = next(_word)  # address of this worker's gradient tile
RUNS = next(_word)  # where an optimiser finds its gradients, and how many lines: see `optimizers.py`
BAD_LAYER = next(_word)  # 1 + the first layer of this worker whose gradient was not finite
LARGEST_LINE = 8  # a line: running maximum of magnitudes, as bits
ZERO_LINE = 16  # a line that stays zero
MAGNITUDES = 24  # then, a word an op: the largest magnitude that it wrote in this batch, as bits

# A phase.
_word = count(0)
PHASE_KIND = next(_word)
PHASE_OPS = next(_word)  # address of its first op's record
PHASE_OP_COUNT = next(_word)  # ops of one task
PHASE_GROUPS = next(_word)  # column groups: task = row block * groups + group
PHASE_BLOCK = next(_word)  # rows of a block
PHASE_LOCAL = next(_word)  # 1: buffers hold one block a worker instead of the whole batch
PHASE_END = next(_word)  # what happens when its last task is done
PHASE_SPLIT = next(
    _word
)  # then THREADS + 1 words: thread t does tasks SPLIT[t] to SPLIT[t + 1] unless somebody is late
PHASE_WORDS = 8 + MAX_THREADS + 1 + 7

ROW_PHASE, WEIGHT_PHASE = 0, 1
END_NOTHING, END_LOSS, END_BACKWARD, END_CHECK, END_STEP = range(5)

# An op.
_word = count(0)
KERNEL = next(_word)
NUMBER = next(_word)  # its index: where its magnitude goes
A = next(_word)  # first operand: panels, or the user's rows
A_STRIDE = next(_word)
B = next(_word)  # second operand
B_STRIDE = next(_word)
C = next(_word)  # result
C_STRIDE = next(_word)
WIDTH = next(_word)  # numbers in a row of A
PANELS = next(_word)  # panels of C
BIAS = next(_word)  # address of the line a product starts from in each panel; 0 starts from zero
EPILOGUE = next(_word)
Y = next(_word)  # saved output of an activation, whose derivative the epilogue or kernel takes
Y_STRIDE = next(_word)
TARGETS = next(_word)
TARGETS_STRIDE = next(_word)
SUMS = next(_word)  # a loss's own scratch, one real a row
CHANCE = next(_word)  # dropout: a value is dropped if its 32 random bits are below this
SCALE = next(_word)  # dropout: what the kept values are multiplied with, float64
NODE = next(_word)  # dropout: the layer's index, part of its key
FIRST_PANEL = next(_word)  # dropout: which of the layer's panels is the first of this op
ELEMENTWISE = next(_word)  # 1: each number of C depends on the number of A in its place alone
OP_WORDS = 32

EPILOGUE_NONE, EPILOGUE_RELU, EPILOGUE_RELU_VJP = 0, 1, 2

# A layer of weights, as the weight sweep sees it.
_word = count(0)
LAYER_NODE = next(_word)  # index in the user's list of layers
LAYER_X = next(_word)  # panels of its input, over the whole batch
LAYER_X_STRIDE = next(_word)
LAYER_D = next(_word)  # panels of the cotangent of its output
LAYER_D_STRIDE = next(_word)
LAYER_INPUTS = next(_word)
LAYER_PANELS = next(_word)  # output panels
LAYER_OFFSET = next(_word)  # where its weights begin, in bytes, inside PARAMETERS and everything laid out alike
LAYER_STRIDE = next(_word)  # bytes from one weight panel to the next
LAYER_BIAS = next(_word)  # the same for its biases; -1 without
LAYER_TRANSPOSED = next(_word)  # address of the transposed weights; 0 where no one needs them
LAYER_TRANSPOSED_STRIDE = next(_word)
LAYER_X_OP = next(_word)  # the op whose magnitude bounds its input; -1: the user's data
LAYER_D_OP = next(_word)  # the op whose magnitude bounds its cotangent
LAYER_X_SCALE = next(_word)  # what lies between that magnitude and the input's, float64
LAYER_WORDS = 16

# A tile of weights.
TILE_LAYER, TILE_I0, TILE_I1, TILE_P0, TILE_P1 = range(5)
TILE_WORDS = 8
TILE_INPUTS, TILE_PANELS = 128, 8  # at most; a worker's scratch holds one
