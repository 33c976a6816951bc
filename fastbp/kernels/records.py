"""The records of a plan, written by Python and read by compiled code.

A plan is a head, a block for every worker, and tables of phases, of their ops or tasks, and of the layers whose
parameters the weight sweep updates. Records hold addresses, sizes, and strides in bytes. Python writes them once; what
changes from step to step is in the head, updated by `sweeps/transitions.py`.
"""

from __future__ import annotations

from typing import Any

from fastbp.kernels.fields import LINE, Lines, Link, Part, Real, Reals, RealsAt, Record, Word, WordLine, Words, WordsAt

MAX_THREADS = 256
MAX_PHASES = 256


class Matrix(Record):
    """A panel matrix, or the rows of a user's array."""

    start = Word("address of the first line")
    stride = Word("bytes from one panel to the next; of a user's array from one row to the next")

    def take(self, value: Any) -> None:
        """Become a copy, or point at a buffer: anything with an `address` and a `stride`."""
        if isinstance(value, Record):
            super().take(value)
        else:
            self.start, self.stride = value.address, value.stride


class Operand(Matrix):
    """A matrix that may be one row, column or number by strides of 0, or a reused block."""

    row = Word("bytes from one row to the next; 0 where one row serves for all")
    back = Word("bytes back for every row before the block, where only one block is held; else 0")

    def take(self, value: Any) -> None:
        super().take(value)
        if not isinstance(value, Record):
            self.row = value.row


# --- the head --------------------------------------------------------------------------------------------------------


class Team(Record):
    """The threads that work on a plan."""

    now = WordLine("current phase: serial number << 32 | tasks << 8 | index; STOPPED at the end")
    done = WordLine("tasks of this phase that are complete")
    threads = Word("how many there are")
    workers = Link("Worker", "the first worker's block")
    worker_bytes = Word("from one worker's block to the next")
    tickets = WordsAt("a line a thread: serial number and how many of its tasks are taken")
    begin = Word("address of the kernel that announces the first phase")
    begin_batch = Word("address of the kernel that begins a batch")
    work = Word("address of the kernel that each thread runs")
    exchange = Word("address of what adds the sums of all ranks behind a phase; 0: there is one rank")
    failed = Word("1: that could not be done")


class DataSet(Record):
    """The data set of a plan."""

    rows = Word("this plan's rows of the batch, or all rows of a row plan")
    together = Word("rows of the batch on all ranks")
    cuts = Word("a batch is cut into 2 to this power shards: see `shards.py`")
    shard = Word("the first of those that are this plan's")
    own = Word("how many are")
    batch = Word("rows of a full batch")
    total = Word("rows of the data set that an epoch has")
    dropped = Word("rows that it does not have, at the end of the order")
    cursor = Word("where in the shuffled order this batch begins")
    order = Word("address of the shuffled order, one uint32 a row; 0 takes the rows as they come")
    index = Word("address of this batch's row numbers in `order`; 0 takes the rows as they come")
    shuffle = Word("1: shuffle before each epoch")
    chosen = Word("address of the rows that are shuffled, one uint32 each; 0: all, as they are numbered")
    seed = Word("seed of shuffles and dropout's masks")
    epoch = Word("how many are done")
    weights = RealsAt("ω of each row; 0: every one is 1")
    normalisers = RealsAt("numbers whose sum divides the loss of a batch")
    largest = Word("the largest magnitude among the inputs, as bits")
    repeats = Word("rows of the buffers for each row of X: 1, or as many as a Jacobian has rows or columns")
    outputs = Word("of the network: how many classes labels may name")
    scan = Word("address of the kernel that checks numbers")
    scan_targets = Word("address of the kernel that checks targets before a step")


class Kept(Record):
    """The state at the beginning of a step, to undo it."""

    cursor = Word("see DataSet")
    epoch_rows = Word("see Step")
    epoch_loss = Real("see Step")
    epoch_weight = Real("see Step")


class Step(Record):
    """One optimiser step, and the current call. The loss of a batch is `scale` Σ ω ℓ."""

    number = Word("steps done")
    left = Word("steps left in this call")
    rates = RealsAt("the learning rate of each step of this call")
    rate_at = Word("which of them is next")
    drops = RealsAt("the factor of dropout's p in each step; 0: always 1")
    decays = RealsAt("that of the weight decay; likewise")
    smoothings = RealsAt("that of label smoothing; likewise")
    dropping = Real("the first of these in this step")
    smoothing = Real("the last of them")
    status = Word("0; 1 + the first layer that was not finite; or -1 - where the first parameter is that would be")
    checking = Word("LOOKING or TRYING while tiles of parameters write none")
    limit = Real("a bound on magnitudes below which nothing can overflow")
    finite = Word("the first bits of a real that is not finite")
    row_loss = Word("address of the loss of each row of the batch")
    total = Real("sum of the losses of its rows")
    waiting = Reals(16, "such sums of shards that are not added yet")
    partial = Word("1: tiles of parameters leave their sums in `partials`, for other ranks")
    loss = Real("loss of the last batch")
    summed = Word("1: the loss is a sum, not a mean")
    scale = Real("factor of the sum of the rows' losses")
    weight = Real("weight of this batch in the mean of its epoch")
    epoch_loss = Real("sum of the losses of this epoch, each times its batch's weight")
    epoch_weight = Real("the sum of those weights")
    epoch_rows = Word("rows done in this epoch")
    losses = RealsAt("the mean loss of each finished epoch of this call")
    ended = Word("epochs finished in this call")
    epochs = Word("epochs after which the call ends")
    accumulate = Word("batches of a step")
    micro = Word("which of them this is")
    group = Word("how many this step has: fewer at the end of an epoch")
    group_part = Real("1 / group")
    draw = Word("batches begun: the counter of dropout's masks")
    kept = Part(Kept, "what is put back")


class Blocks(Record):
    """Addresses of parameters, moments and the average, all in the same layout."""

    parameters = Word("what is trained")
    moment_1 = Word("0: the optimiser has none")
    moment_2 = Word("likewise")
    moment_3 = Word("likewise")
    average = Word("the running average of the parameters; 0: none is kept")
    each = Words(5, "all of these by number", over="parameters")


class Bounds(Record):
    """Bounds of magnitudes, carried from step to step: see `optimizers/bounds.py`. Infinity: unknown."""

    parameters = Real("of the parameters and their average")
    moment_1 = Real("of each moment")
    moment_2 = Real("")
    moment_3 = Real("")
    rest = Real("of what means have more than their squares allow")
    each = Reals(5, "all of these by number", over="parameters")


class Update(Record):
    """The update of parameters."""

    optimizer = Word("address of the kernel that the weight sweep calls with gradients")
    kernel = Word("address of the optimiser's kernel, for an update phase")
    prepare = Word("address of the kernel that turns `settings` into `factors`, once a step")
    settings = Reals(8, "the optimiser's settings: its record `...Settings`")
    decay = Real("the weight decay among them, before the factor of a step")
    factors = Reals(8, "its factors in this step: its record `...Factors`")
    running = Real("a product carried from step to step")
    running_at = Word("its step")
    blocks = Part(Blocks, "what is updated")
    average_keep = Real("decay of the average in each step")
    gradients = Word("address of kept gradients, if all are needed before the update")
    partials = Word("address of sums that become those of all ranks, laid out as the parameters; 0: there is one rank")
    directions = Word("address of orthogonal directions, laid out as the parameters; 0: there are none")
    staged = Word("1: weight tasks only keep gradients, an update phase applies them")
    clip_value = Real("limit of the magnitude of a gradient; 0: no limit")
    clip_norm = Real("limit of the norm of all gradients; 0: no limit")
    clip_power = Real("power of two that gradients are multiplied by to clip the norm")
    clip_scale = Real("the rest of that factor")
    norms = RealsAt("the sum of squares of each piece of `gradients`: see `updates.py`")
    norm_count = Word("how many pieces")
    count = Word("numbers in `parameters`, padding too")
    bound = Word("address of the kernel that computes bounds; 0: nothing is updated")
    rest = Word("address of the kernel that computes `rest` of the bounds; 0: none")
    attempt = Word("address of the kernel that tries an update")
    top_rate = Real("the largest factor of the learning rate")
    top_decay = Real("the largest factor of the weight decay")
    top_stretch = Real("the largest of steps along orthogonal matrices")
    penalised = Word("1: there are penalties, whose slopes have no bound beforehand")
    now = Part(Bounds, "bounds before the step")
    following = Part(Bounds, "the same after it")
    worst = Real("the sum of the bounds of all that the step computes")
    gradient = Real("the bound of the gradients of this step, of all its batches so far")
    renewed = Word("steps that computed bounds from all parameters")
    tried = Word("steps that tried their update on copies")
    states = Word("address of running statistics, which batches update before the step is committed")
    states_kept = Word("address of their copy")
    state_bytes = Word("how many")


class Head(Record, line=True):
    """A plan."""

    team = Part(Team, "the threads")
    data = Part(DataSet, "the rows")
    step = Part(Step, "the step")
    update = Part(Update, "what becomes of gradients")
    training = Word("1: steps over batches; 0: one walk over the phases")
    phases = Link("Phase", "the first phase")
    phase_count = Word("how many")
    ops = Link("Op", "the first op")
    op_count = Word("how many")
    loss_op = Link("LossOp", "the op of the loss")
    layers = Link("Trained", "the first layer of the weight sweep")
    layer_count = Word("how many")
    magnitudes = Word("number of magnitudes; the column groups of one op share one")
    spare = Words(1, "scratch for conversions")


HEAD_WORDS = Head.size
STOPPED = -1
LOOKING, TRYING = 1, 2  # for gradients that are not finite; and at what the update makes of copies


class Worker(Record):
    """What one thread has for itself."""

    head = Link("Head", "the plan")
    shift = Word("row of the user's array minus row of the buffers")
    scratch = Word("address of this worker's gradient tile, and behind it of those of shards that are not added yet")
    level = Word("bytes from one of these to the next")
    gradients = Word("address of the gradients for the optimiser (the number of lines is its argument r1)")
    bad_layer = Word("1 + the first layer of this worker whose gradient was not finite")
    bad_place = Word("1 + where this worker's first parameter is that its update would spoil")
    rate = Real("factor of the learning rate for the current parameters")
    decay = Real("and the weight decay")
    stretch = Real("and of the steps of orthogonal matrices; 0: of others")
    steepest = Word("the largest gradient with a penalty that this worker has handed over in this batch, as bits")
    scanned = Words(1, "result of `scan`")
    waits = Word("times it has waited at the end of a phase for the others of its team")
    shadow = Link("Head", "this worker's copy of the head, with what it tries an update on behind it")
    largest = Lines(1, "running maximum of magnitudes, as bits")
    zero = Lines(1, "stays zero")
    work = Lines(4, "scratch of kernels")
    magnitudes = Words(8, "the largest magnitude written by each op in this batch, as bits; as many as needed")


# A worker's shadow: a head, then copies of TRIAL_LINES lines of each of the five blocks.
TRIAL_LINES = 32
SHADOW_BYTES = Head.size * 8 + 5 * TRIAL_LINES * LINE


# --- phases and their tasks ------------------------------------------------------------------------------------------

ROW_PHASE = 0  # tasks are blocks of rows, or columns of them
TASK_PHASE = 1  # tasks are records that begin with the address of their kernel
END_NOTHING, END_LOSS, END_BACKWARD, END_CHECK, END_GRADIENTS, END_NORM, END_STEP, END_DIRECTIONS = range(8)


class Phase(Record):
    """Independent tasks: blocks of rows through some ops, or a list of records."""

    kind = Word("ROW_PHASE or TASK_PHASE")
    end = Word("the transition after the last task: an END_...")
    ops = Link("Op", "the first op of a row phase")
    op_count = Word("ops of one task")
    groups = Word("column groups: task = row block * groups + group")
    block = Word("rows of a block")
    local = Word("1: buffers hold one block a worker instead of the whole batch")
    tasks = Link("Task", "the first task of a task phase")
    task_count = Word("how many")
    split = WordsAt("thread t does tasks split[t] to split[t + 1] unless a thread is late; 0: no owners")
    sums = Word("address of lines that all ranks add behind this phase; 0: there are none")
    sum_bytes = Word("how long they are")
    mean = Word("1: they become means over the rows of the batch")


class Task(Record, room=8):
    """A task other than a block of rows."""

    notes = ("name",)
    name: str  # of the kernel

    kernel = Word("address of the kernel that does it")


class Tile(Task):
    """Some lines of some panels of a layer's parameters."""

    layer = Link("Trained", "whose parameters")
    i0 = Word("the first line")
    i1 = Word("the one behind the last")
    p0 = Word("the first panel")
    p1 = Word("the one behind the last")


class Piece(Task):
    """A piece of the kept gradients."""

    number = Word("which")
    first = Word("where it begins, in bytes")
    lines = Word("how many")


TILE_INPUTS, TILE_PANELS = 128, 8  # of a tile, at most; a worker's scratch holds one


# --- layers, as the weight sweep sees them ---------------------------------------------------------------------------


class Learned(Record):
    """A parameter of a layer: a matrix, or a line a panel."""

    offset = Word("where it begins in `Blocks`, in bytes; -1: there is none, or it is not trained")
    stride = Word("bytes from one panel to the next")
    rate = Real("factor of its learning rate")
    decay = Real("and the weight decay")
    penalty = Word("address of the kernel that adds a penalty's gradient; 0: none")
    stretch = Real("the factor of a step along an orthogonal matrix; 0: it takes other steps")


class Trained(Record, room=40):
    """A layer's parameters: a matrix and a line per panel, or such lines alone."""

    node = Word("index among the network's layers")
    x = Part(Matrix, "its input, over the whole batch")
    d = Part(Matrix, "the cotangent of its output")
    inputs = Word("lines of a panel of weights")
    panels = Word("output panels")
    weight = Part(Learned, "its weights")
    bias = Part(Learned, "its biases")
    transposed = Part(Matrix, "the transposed weights; start 0: not needed")
    x_op = Word("the op whose magnitude bounds its input; -1: the user's data")
    d_op = Word("the op whose magnitude bounds its cotangent")
    x_scale = Real("that bound is 2 (magnitude times this + x_offset)")
    x_offset = Real("see x_scale")
    out_op = Word("the op that writes its output")
    more = Link("Trained", "another input and cotangent of the same parameters; 0: none")
    shared = Word("1: one number serves all columns")
    learns = Word("1: running statistics learn from its batches")


class TrainedNorm(Trained):
    """A batch norm: gradients computed by row ops, and running statistics."""

    sum_d = Word("address of the gradient of the bias, a line a panel")
    sum_dx = Word("and of the weight")
    mean = Word("this batch's mean, a line a panel")
    variance = Word("and variance")
    running_mean = Word("the running mean")
    running_variance = Word("and variance")
    momentum = Real("how much they learn")


class RowList(Record, line=True):
    """Rows that occurred, in order; a row is in the list if its stamp is the list's serial number."""

    serial = Word("of what the list is for")
    count = Word("rows in it")
    stamps = WordsAt("the serial number of the last list that each row was in")
    rows = WordsAt("the rows")


class TrainedTable(Trained):
    """One table of an embedding."""

    column = Word("the column of the codes")
    first = Word("the column of the output where its rows begin")
    width = Word("numbers in a row")
    sums = Word("address of the gradients of its rows in this batch, laid out as the table, a table a level")
    level = Word("bytes from one of these tables to the next")
    batch_list = Link("RowList", "rows that occurred in this batch; behind it those in what each further level holds")
    step_list = Link("RowList", "rows that occurred in this step")


class TrainedCodes(Trained):
    """A linear layer over rows with codes."""

    tables = Link("Column", "which columns of its input are codes")
    count = Word("how many columns that has")


class Column(Record, line=True):
    """A column of rows with codes: a number that is copied, or a code, of a row of an embedding's table or of a 1."""

    source = Word("which it is")
    target = Word("its place in the output")
    table = Part(Matrix, "the table; start 0 for a number")
    rows = Word("of the table; or how many columns a code stands for, 0 for a number")
    width = Word("numbers in a row")
