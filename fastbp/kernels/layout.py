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
REPEATS = next(_word)  # rows of the buffers for each row of X: 1, or as many as a Jacobian has rows or columns
MAGNITUDE_COUNT = next(_word)  # numbers that ops go by, column groups of one op by the same
PHASES = next(_word)  # address of the first phase's record
PHASE_COUNT = next(_word)
OPS = next(_word)  # address of the first op's record
OP_COUNT = next(_word)
LAYERS = next(_word)  # address of the first weight record
LAYER_COUNT = next(_word)
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
STATUS = next(_word)  # 0; 1 + the first layer that was not finite; or -1 - where the first parameter is that would be
CHECKING = next(_word)  # LOOKING or TRYING while tiles of parameters write none
BEGIN = next(_word)  # addresses of the kernels of `engine.sweeps`
BEGIN_BATCH = next(_word)
WORK = next(_word)
TRAINING = next(_word)  # 1: steps over batches; 0: one walk over the phases
LIMIT = next(_word)  # a bound on magnitudes below which nothing can overflow, as float64
FINITE = next(_word)  # the first bits of a real that is not finite
INPUT_MAX = next(_word)  # the largest magnitude among the inputs, as bits
OPTIMIZER = next(_word)  # address of the optimiser's kernel
ROW_LOSS = next(_word)  # address of the loss of each row of the batch
LOSS = next(_word)  # loss of the last batch, float64
PASS_LOSS = next(_word)  # sum of the losses of this pass, each times its batch's weight, float64
PASS_ROWS = next(_word)
PASSES = next(_word)  # address of the mean loss of each finished pass of this call, float64
PASS_AT = next(_word)
PASS_LIMIT = next(_word)  # the call ends when so many passes are finished
PARAMETERS = next(_word)  # addresses of the parameters, and of what the optimiser keeps for each, laid out alike
MOMENT_1 = next(_word)
MOMENT_2 = next(_word)
MOMENT_3 = next(_word)
GRADIENTS = next(_word)
AVERAGE = next(_word)  # address of the running average of the parameters; 0: none is kept
AVERAGE_KEEP = next(_word)  # how much of it stays in each step, float64
# Bounds on magnitudes, float64, from which a step knows that what it updates stays finite: see `bounds.py`.
BOUNDS = next(_word)  # of parameters and their average, of each moment, of the rest of means; infinity: not known
next(_word), next(_word), next(_word), next(_word)
NEXT_BOUNDS = next(_word)  # the same after the step
next(_word), next(_word), next(_word), next(_word)
BOUND_COUNT = 5
WORST = next(_word)  # the sum of all that the step may make
GRADIENT = next(_word)  # of the gradients of this step, and what all its batches have had so far
BOUND = next(_word)  # address of the kernel that takes them; 0: nothing is updated
REST = next(_word)  # address of the kernel that takes the last of them; 0: the optimiser has none
RULE = next(_word)  # which formula it uses
TOP_RATE = next(_word)  # the largest factor of the learning rate, and of the weight decay, float64
TOP_DECAY = next(_word)
PENALISED = next(_word)  # 1: there are penalties, whose slopes have no bound until they are taken
PARAMETER_COUNT = next(_word)  # numbers in PARAMETERS, padding too
ATTEMPT = next(_word)  # address of the kernel that tries an update
RENEWED = next(_word)  # steps that had to look at all parameters for their bounds, and those that tried their update
TRIED = next(_word)
# What a step that is not taken puts back: running statistics, which its batches have taught, and where it began.
STATES = next(_word)  # addresses of those and of their copy
STATES_KEPT = next(_word)
STATE_BYTES = next(_word)
PLACE_KEPT = next(_word)  # CURSOR, PASS_ROWS, PASS_LOSS, PASS_WEIGHT
next(_word), next(_word), next(_word)
# The loss of a batch is LOSS_SCALE Σ ω ℓ. Weights of rows are float64, one a row of the data set; 0: every one is 1.
WEIGHTS = next(_word)  # address of the ω
NORMALISERS = next(_word)  # address of what their sum is taken over, to divide by
SUMMED = next(_word)  # 1: the loss is a sum, not a mean
LOSS_SCALE = next(_word)  # float64
BATCH_WEIGHT = next(_word)  # what this batch counts for in the mean of its pass, float64
PASS_WEIGHT = next(_word)  # the sum of those, float64
# Gradients that wait in GRADIENTS before they are applied, because all of them are needed first.
STAGED = next(_word)  # 1: weight tasks only keep gradients, an update phase applies them
UPDATE = next(_word)  # address of the optimiser's kernel, for that phase
ACCUMULATE = next(_word)  # batches of a step
MICRO = next(_word)  # which of them this is
GROUP = next(_word)  # how many this step has: fewer at the end of a pass
GROUP_SCALE = next(_word)  # 1 / GROUP, float64
DRAW = next(_word)  # batches begun: what dropout's masks are drawn from
CLIP_VALUE = next(_word)  # no gradient is further from 0 than this, float64; 0: no limit
CLIP_NORM = next(_word)  # nor all of them together, float64; 0: no limit
CLIP_POWER = next(_word)  # the power of two, and what else, that gradients are multiplied with to keep that, float64
CLIP_SCALE = next(_word)
NORMS = next(_word)  # address of the sum of squares of each piece of GRADIENTS, float64: see `updates.py`
NORM_COUNT = next(_word)
RUNNING = next(_word)  # a product that an optimiser carries from step to step, float64
RUNNING_AT = next(_word)  # the step that it is for
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
LOOKING, TRYING = 1, 2  # for gradients that are not finite; and at what the update makes of copies
MAX_PHASES = 256

# A worker's block.
_word = count(0)
HEAD = next(_word)  # address of the head
SHIFT = next(_word)  # row of the user's array minus row of the buffers
SCRATCH = next(_word)  # address of this worker's gradient tile
RUNS = next(_word)  # where an optimiser finds its gradients, and how many lines: see `optimizers.py`
BAD_LAYER = next(_word)  # 1 + the first layer of this worker whose gradient was not finite
SLOT_RATE = next(_word)  # what the parameters at hand multiply the learning rate with, float64
SLOT_DECAY = next(_word)  # and the weight decay
BAD_PLACE = next(_word)  # 1 + where this worker's first parameter is that its update would spoil
LARGEST_LINE = 8  # a line: running maximum of magnitudes, as bits
ZERO_LINE = 16  # a line that stays zero
WORK_LINES = 24  # four lines for whatever a kernel has to put together
SHADOW = 56  # address of this worker's copy of the head and of what it tries an update on
STEEPEST = 57  # the largest gradient with a penalty that this worker has handed over in this batch, as bits
SCANNED = 58  # where SCAN leaves what it found
MAGNITUDES = 64  # then, a word an op: the largest magnitude that it wrote in this batch, as bits

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

PHASE_TASKS = PHASE_GROUPS  # of a task phase: the address of its first task's record
PHASE_TASK_COUNT = PHASE_BLOCK

ROW_PHASE = 0  # tasks are blocks of rows, or columns of them
TASK_PHASE = 1  # tasks are records that begin with the address of their kernel
END_NOTHING, END_LOSS, END_BACKWARD, END_CHECK, END_GRADIENTS, END_NORM, END_STEP = range(7)

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
Y = next(_word)  # what the forward op saved and the vjp reads: an output, an input, or normalised rows
Y_STRIDE = next(_word)
TARGETS = next(_word)
TARGETS_STRIDE = next(_word)
SUMS = next(_word)  # a loss's own scratch, one real a row; a norm's 1 / σ of each row
CHANCE = next(_word)  # dropout: a value is dropped if its 32 random bits are below this
SCALE = next(_word)  # dropout: what the kept values are multiplied with, float64
NODE = next(_word)  # dropout: the layer's index, part of its key
FIRST_PANEL = next(_word)  # which of the layer's panels is the first of this op
ELEMENTWISE = next(_word)  # 1: each number of C depends on the number of A in its place alone
COLUMNS = next(_word)  # 1: a number of the result depends on a whole column; all rows are one task
SETTING_1 = next(_word)  # numbers that the layer or the loss was told, float64
SETTING_2 = next(_word)
GAIN = next(_word)  # address of one line a panel to multiply with; 0: none
SHIFTS = next(_word)  # address of one line a panel to add; 0: none
MEAN = next(_word)  # batch norm: addresses of one line a panel
VARIANCE = next(_word)
SUM_D = next(_word)
SUM_DX = next(_word)
SHARED = next(_word)  # 1: the first number of GAIN serves all columns
TABLES = next(_word)  # embedding: address of the records of its columns
TABLE_COUNT = next(_word)
COPY_FROM = next(_word)  # columns that are copied: the first of A, the first of C, how many
COPY_TO = next(_word)
COPY_COUNT = next(_word)
A_ROW = next(_word)  # gates: bytes from one row of an operand to the next; 0 where one row serves for all
B_ROW = next(_word)
Y_ROW = next(_word)
ROW_BEGIN = next(_word)  # take and place: the first row and column, and how far the next is
ROW_JUMP = next(_word)
COLUMN_BEGIN = next(_word)
COLUMN_JUMP = next(_word)
PART_ROWS = next(_word)  # ... and how many there are
PART_WIDTH = next(_word)
A_BACK = next(_word)  # an operand that holds one block only: bytes back for every row before the block; else 0
B_BACK = next(_word)
Y_BACK = next(_word)
C_BACK = next(_word)
OP_WORDS = -(-next(_word) // 8) * 8

EPILOGUE_NONE, EPILOGUE_RELU, EPILOGUE_RELU_VJP = 0, 1, 2

# A group of a traced function's ops: they go over the rows together, a block at a time.
GROUP_OPS, GROUP_COUNT, GROUP_ROWS, GROUP_BLOCK = range(4)
GROUP_WORDS = 4

# A column of an embedding's input: a number that is passed on, or a code that chooses a row of a table.
COLUMN_FROM, COLUMN_TO, COLUMN_TABLE, COLUMN_STRIDE, COLUMN_ROWS, COLUMN_WIDTH = range(6)
COLUMN_WORDS = 8

# A layer's parameters, as the weight sweep sees them: a matrix and a line a panel beside it, or such lines alone.
_word = count(0)
LAYER_NODE = next(_word)  # index in the user's list of layers
LAYER_X = next(_word)  # panels of its input, over the whole batch
LAYER_X_STRIDE = next(_word)
LAYER_D = next(_word)  # panels of the cotangent of its output
LAYER_D_STRIDE = next(_word)
LAYER_INPUTS = next(_word)  # lines of a panel of weights
LAYER_PANELS = next(_word)  # output panels
LAYER_OFFSET = next(_word)  # where its weights begin, in bytes, inside PARAMETERS and all laid out alike; -1: none
LAYER_STRIDE = next(_word)  # bytes from one weight panel to the next
LAYER_BIAS = next(_word)  # the same for its biases; -1 without
LAYER_TRANSPOSED = next(_word)  # address of the transposed weights; 0 where no one needs them
LAYER_TRANSPOSED_STRIDE = next(_word)
LAYER_X_OP = next(_word)  # the op whose magnitude bounds its input; -1: the user's data
LAYER_D_OP = next(_word)  # the op whose magnitude bounds its cotangent
LAYER_X_SCALE = next(_word)  # that bound is 2 (magnitude times this + LAYER_X_OFFSET), both float64
LAYER_X_OFFSET = next(_word)
LAYER_OUT_OP = next(_word)  # the op that writes its output
LAYER_RATE = next(_word)  # what its weights multiply the learning rate with, float64
LAYER_DECAY = next(_word)  # and the weight decay
LAYER_PENALTY = next(_word)  # behind it, always: address of the kernel that adds a penalty's gradient; 0: none
LAYER_BIAS_RATE = next(_word)
LAYER_BIAS_DECAY = next(_word)
LAYER_BIAS_PENALTY = next(_word)
LAYER_SHARED = next(_word)  # 1: one number serves all columns
LAYER_SUM_D = next(_word)  # batch norm: addresses of the gradients, one line a panel, that are there already
LAYER_SUM_DX = next(_word)
LAYER_MEAN = next(_word)  # ... of this batch's statistics, and of the running ones, which learn from them
LAYER_VARIANCE = next(_word)
LAYER_RUNNING_MEAN = next(_word)
LAYER_RUNNING_VARIANCE = next(_word)
LAYER_MOMENTUM = next(_word)  # how much they learn, float64
LAYER_COLUMN = next(_word)  # embedding: the column of the codes
LAYER_FIRST = next(_word)  # ... the column of the output where its rows begin
LAYER_WIDTH = next(_word)  # ... numbers in a row of the table
LAYER_SUMS = next(_word)  # ... address of the gradients of its rows in this batch, laid out as the table
LAYER_BATCH_LIST = next(_word)  # ... addresses of the lists of rows that occurred in this batch, and in this step
LAYER_STEP_LIST = next(_word)
LAYER_MORE = next(_word)  # address of a record with another input and cotangent of the same parameters; 0: none
LAYER_WORDS = -(-next(_word) // 8) * 8

# A list of rows that have occurred, in order; a row is in it if its stamp is the serial number of the list.
LIST_SERIAL, LIST_COUNT, LIST_STAMPS, LIST_ROWS = range(4)
LIST_WORDS = 8

# A tile of parameters, or a piece of GRADIENTS.
TILE_KERNEL, TILE_LAYER, TILE_I0, TILE_I1, TILE_P0, TILE_P1 = range(6)
PIECE_NUMBER, PIECE_FROM, PIECE_LINES = 1, 2, 3
TILE_WORDS = 8
TILE_INPUTS, TILE_PANELS = 128, 8  # at most; a worker's scratch holds one

# A worker's shadow: the head up to TICKETS, then copies of TRIAL_LINES lines of parameters, moments and average.
TRIAL_LINES = 32
SHADOW_LINES = -(-TICKETS // 8) + 5 * TRIAL_LINES
