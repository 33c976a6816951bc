"""Transitions between phases: the loss, checks for overflow, the ends of batches, steps and epochs."""

from __future__ import annotations

from fastbp.kernels.attempts import copy_words
from fastbp.kernels.fields import WORD
from fastbp.kernels.flags import inlined, kernel
from fastbp.kernels.memory import bytes_of, call_kernel, get_index, get_real, put_index
from fastbp.kernels.optimizers.rule import settings_at
from fastbp.kernels.philox import shuffle
from fastbp.kernels.records import END_BACKWARD, Head
from fastbp.kernels.shards import first_row, shard_count
from fastbp.kernels.updates import root_of
from fastbp.kernels.words import address_of, exists, further, words_at

# Of float32 and of float64:
SMALL = 2.0**-60, 2.0**-600  # a factor below which it may be subnormal
CALM = 2.0**100, 2.0**960  # twice as much, added to any number, rounds to one that is finite


@inlined
def worker_of(head, t):
    return further(head.team.workers, t * head.team.worker_bytes)


@inlined
def largest_of(head, op):
    """The largest magnitude that an op wrote in this batch, over all workers, as bits."""
    top = 0
    for t in range(head.team.threads):
        top = max(top, worker_of(head, t).magnitudes[op])
    return top


@inlined
def number_of(bits, head, z):
    """The magnitude with these bits; infinity if not finite."""
    if bits >= head.step.finite:
        return 1e400
    head.spare[0] = bits
    return float(get_real(address_of(head.spare), z))


@inlined
def sum_loss(head, z):
    """The loss of the batch, stored and returned; `total` is complete if other ranks have added theirs."""
    if head.team.exchange == 0:
        total_loss(head, z)
    loss = head.step.total * head.step.scale
    head.step.loss = loss
    return loss


@inlined
def total_loss(head, z):
    """Sum the rows' losses: in row order, shard by shard."""
    item = bytes_of(z)
    waiting = head.step.waiting
    level = 0
    for k in range(shard_count(head)):
        total = 0.0
        for r in range(first_row(head, k, head.data.rows), first_row(head, k + 1, head.data.rows)):
            total += float(get_real(head.step.row_loss + r * item, z))
        done = k + 1
        while done & 1 == 0:
            level -= 1
            total = waiting[level] + total
            done >>= 1
        waiting[level] = total
        level += 1
    head.step.total = waiting[0]


@inlined
def end_backward(head, z):
    """Compute the loss and whether every gradient is certain to be finite.

    |dW| <= B max|x| max|dz|, so two recorded magnitudes bound a layer's gradient. Only if the bound is too large are
    the gradients themselves checked before the update; likewise running statistics, whose values x bounds.
    """
    calm = CALM[0] if bytes_of(z) == 4 else CALM[1]
    rows = head.data.together
    loss = sum_loss(head, z)
    certain = loss - loss == 0.0
    limit = head.step.limit
    top = head.update.gradient
    for i in range(head.layer_count):
        layer = head.layers[i]
        source = layer.x_op
        bits = head.data.largest if source < 0 else largest_of(head, source)
        number = number_of(bits, head, z)
        if layer.learns != 0 and not number < calm:
            certain = False
        x = 2.0 * (number * layer.x_scale + layer.x_offset)
        d = 2.0 * number_of(largest_of(head, layer.d_op), head, z)
        bound = rows * x * d
        if not bound < limit:
            certain = False
        top = max(top, bound)
    head.update.gradient = top if certain else 1e400
    return certain


@inlined
def update_is_certain(head, z):
    """Whether all that the update writes is certain to be finite; unknown bounds are computed first.

    Always true without an update. Slopes of penalties are known only if gradients are kept.
    """
    if head.update.bound == 0:
        return True
    limit = head.step.limit
    certain = False
    known = head.update.penalised == 0 or head.update.staged != 0
    if known and head.update.gradient < 1e400:
        call_kernel(head.update.bound, head, 0, 0, 0, z)
        certain = head.update.worst < limit
        if not certain:
            renew_bounds(head, z)
            call_kernel(head.update.bound, head, 0, 0, 0, z)
            certain = head.update.worst < limit
    now, following = head.update.now.each, head.update.following.each
    for i in range(5):
        now[i] = following[i] if certain else 1e400
    head.update.tried = head.update.tried + (0 if certain else 1)
    return certain


@inlined
def note_penalties(head, z):
    """Let `gradient` bound the gradients to which penalties were added, too."""
    top = 0
    for t in range(head.team.threads):
        top = max(top, worker_of(head, t).steepest)
    head.update.gradient = max(head.update.gradient, number_of(top, head, z))


@inlined
def renew_bounds(head, z):
    """Compute bounds from all parameters and moments."""
    head.update.renewed = head.update.renewed + 1
    now, blocks = head.update.now, head.update.blocks
    for i in range(4):  # the parameters and their moments
        now.each[i] = largest_in(blocks.each[i], head, z)
    now.parameters = max(largest_in(blocks.average, head, z), now.parameters)
    now.rest = 0.0
    if head.update.rest != 0:
        call_kernel(head.update.rest, head, 0, 0, 0, z)


@inlined
def largest_in(block, head, z):
    """The largest magnitude in a block with the parameters' layout; 0 if there is none."""
    if block == 0:
        return 0.0
    call_kernel(head.data.scan, block, head.spare, 0, head.update.count, z)
    return number_of(head.spare[0], head, z)


@inlined
def first_of(one, other):
    """The smaller of two numbers that count from 1; 0 is none."""
    if one == 0:
        return other
    return one if other == 0 else min(one, other)


@inlined
def problem(head):
    """The `status` of this step, after its gradients or its update were checked."""
    loss = head.step.loss
    if loss - loss != 0.0:
        return first_bad_output(head)
    layer, place = 0, 0
    for t in range(head.team.threads):
        me = worker_of(head, t)
        layer, place = first_of(layer, me.bad_layer), first_of(place, me.bad_place)
    return layer if layer != 0 else -place


@inlined
def first_bad_output(head):
    """1 + the first layer whose output was not finite; the last if the loss alone was not."""
    for i in range(head.layer_count):
        layer = head.layers[i]
        if largest_of(head, layer.out_op) >= head.step.finite:
            return layer.node + 1
    last = head.layers[head.layer_count - 1]
    return last.node + 1


@inlined
def scale_loss(head, rows):
    """Set the factor of the sum of this batch's losses, and the weight of the batch in its epoch."""
    weight = float(rows)
    normalisers = head.data.normalisers
    if exists(normalisers):
        weight = 0.0
        index = head.data.index
        first = 0 if index != 0 else head.data.cursor
        for r in range(rows):
            row = get_index(index, r + first) if index != 0 else r + first
            weight += normalisers[row]
    if head.step.summed != 0:
        head.step.scale = 1.0
        head.step.weight = 1.0
    else:
        head.step.scale = 1.0 / weight if weight > 0.0 else 0.0
        head.step.weight = weight


@inlined
def choose(order, chosen, rows):
    """Turn places among the chosen rows into the rows' numbers."""
    if chosen != 0:
        for r in range(rows):
            put_index(order, r, get_index(chosen, get_index(order, r)))


@kernel(Head)
def begin_batch(head, me, r0, r1, z):
    """Point at the next batch, shuffling first where an epoch begins, and prepare the optimiser's factors."""
    total = head.data.total
    cursor = head.data.cursor
    order = head.data.order
    if cursor == 0 and head.data.shuffle != 0:
        every = total + head.data.dropped
        shuffle(order, every, head.data.seed, head.data.epoch)
        choose(order, head.data.chosen, every)
    together = min(head.data.batch, total - cursor)
    shard, cuts = head.data.shard, head.data.cuts
    before = together * shard >> cuts
    head.data.together = together
    head.data.rows = (together * (shard + shard_count(head)) >> cuts) - before
    head.data.index = order + 4 * cursor if order != 0 else 0
    head.step.checking = 0
    for t in range(head.team.threads):
        me = worker_of(head, t)
        me.shift = before + (0 if order != 0 else cursor)
        me.bad_layer = 0
        me.bad_place = 0
        me.steepest = 0
        for op in range(head.magnitudes):
            me.magnitudes[op] = 0
    scale_loss(head, together)
    head.step.partial = 1 if head.team.exchange != 0 else 0
    micro = head.step.micro
    head.step.draw = head.step.number * head.step.accumulate + micro
    if micro == 0:
        begin_step(head, total - cursor, z)


@inlined
def begin_step(head, rows_left, z):
    """Prepare what all batches of a step share."""
    batch = head.data.batch
    group = min(head.step.accumulate, (rows_left + batch - 1) // batch)
    head.step.group = group
    head.step.group_part = 1.0 / group
    head.update.clip_power = head.update.clip_scale = 1.0
    head.update.gradient = 0.0
    keep_place(head)
    at = head.step.rate_at
    head.update.factors[0] = head.step.rates[at]
    if exists(head.step.drops):
        head.step.dropping = head.step.drops[at]
    if exists(head.step.decays):
        settings_at(head.update.settings).decay = head.update.decay * head.step.decays[at]
    if exists(head.step.smoothings):
        head.step.smoothing = head.step.smoothings[at]
    call_kernel(head.update.prepare, head, 0, 0, 0, z)


@inlined
def keep_place(head):
    """Save what a step changes before it is committed: its place, and running statistics."""
    step, kept = head.step, head.step.kept
    kept.cursor = head.data.cursor
    kept.epoch_rows, kept.epoch_loss, kept.epoch_weight = step.epoch_rows, step.epoch_loss, step.epoch_weight
    copy_words(words_at(head.update.states), words_at(head.update.states_kept), head.update.state_bytes // WORD)


@inlined
def exchanged(head, index, z):
    """Have all ranks add their sums behind phase `index`; says whether that was done."""
    if head.phases[index].end == END_BACKWARD:
        total_loss(head, z)
    call_kernel(head.team.exchange, head, index, 0, 0, z)
    if head.phases[index].end == END_BACKWARD:
        head.step.partial = 0
    return head.team.failed == 0


@inlined
def put_back(head):
    """Restore what `keep_place` saved."""
    step, kept = head.step, head.step.kept
    head.data.cursor = kept.cursor
    step.epoch_rows, step.epoch_loss, step.epoch_weight = kept.epoch_rows, kept.epoch_loss, kept.epoch_weight
    copy_words(words_at(head.update.states_kept), words_at(head.update.states), head.update.state_bytes // WORD)


@inlined
def end_batch(head):
    """Account for a batch, and for its epoch where that is complete."""
    rows = head.data.together
    weight = head.step.weight
    head.step.epoch_loss = head.step.epoch_loss + head.step.loss * weight
    head.step.epoch_weight = head.step.epoch_weight + weight
    head.step.epoch_rows = head.step.epoch_rows + rows
    cursor = head.data.cursor + rows
    if cursor >= head.data.total:
        cursor = 0
        head.data.epoch = head.data.epoch + 1
        ended = head.step.ended
        head.step.losses[ended] = epoch_loss(head)
        head.step.ended = ended + 1
        head.step.epoch_loss = 0.0
        head.step.epoch_weight = 0.0
        head.step.epoch_rows = 0
    head.data.cursor = cursor


@inlined
def epoch_loss(head):
    """The loss so far of the epoch: a mean over its weights, or the sum."""
    weight = head.step.epoch_weight
    if head.step.summed != 0:
        weight = 1.0
    return head.step.epoch_loss / weight if weight > 0.0 else 0.0


@inlined
def end_step(head):
    """Count the step; returns whether the call goes on."""
    head.step.number = head.step.number + 1
    head.step.left = head.step.left - 1
    head.step.rate_at = head.step.rate_at + 1
    head.step.micro = 0
    return head.step.left > 0 and head.step.ended < head.step.epochs


@inlined
def clip_norm(head, z):
    """The factor of gradients from the sums of squares of all pieces: see `updates.py`."""
    update = head.update
    limit = update.clip_norm
    norm, down = root_of(update.norms, update.norm_count)
    norm += 1e-6 if down == 1.0 else 0.0
    power = SMALL[0] if bytes_of(z) == 4 else SMALL[1]
    factor = limit / norm * down
    update.clip_power = power if factor < power else 1.0
    update.clip_scale = limit * (down / power) / norm if factor < power else min(1.0, factor)
