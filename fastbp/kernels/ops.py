"""The records of ops: one kernel over rows each, from A to C.

Kernels of a family take records of the same class; all classes have the same size, so that they fit into one table.
"""

from __future__ import annotations

from typing import Any

from fastbp.kernels import records
from fastbp.kernels.fields import LINE, Link, Part, Real, RealsAt, Record, Word
from fastbp.kernels.records import Matrix, Operand, Task

EPILOGUE_NONE, EPILOGUE_RELU, EPILOGUE_RELU_VJP = 0, 1, 2


class LinePerPanel(Word):
    """The address of one line for each panel; 0: none."""

    def __init__(self, doc: str) -> None:
        super().__init__(doc, per_panel=True)


class Op(Record, room=32):
    """One kernel over rows, from A to C.

    Attributes
    ----------
    elementwise : bool
        Whether C is elementwise in its inputs, so that columns are independent.
    whole_columns : bool
        Whether results depend on whole columns, so that all rows are one task.
    cut_by_columns : bool
        Whether another op can be cut by columns.
    in_place : bool
        Whether C may be where an operand of its size is.
    """

    elementwise = False
    whole_columns = False
    cut_by_columns = False
    in_place = False
    notes = ("name", "rows")  # of the kernel; how many rows it is for
    rows: int

    kernel = Word("address of its machine code")
    number = Word("where its magnitude goes")
    width = Word("numbers in a row of A")
    panels = Word("panels of C")
    first_panel = Word("which of the layer's panels is the first of this op")

    def columns(self, p0: int, p1: int) -> Any:
        """The same op for panels p0 to p1 of its result."""
        if not (self.elementwise or self.whole_columns or self.cut_by_columns):
            raise TypeError(f"`{type(self).__name__}` cannot be cut by columns")
        out = self.copy()
        out.panels, out.first_panel = p1 - p0, p0
        for name, field in self.fields.items():
            if not field.per_panel:
                continue
            if isinstance(field, LinePerPanel):
                if getattr(self, name):
                    setattr(out, name, getattr(self, name) + p0 * LINE)
            elif getattr(self, name).start:
                getattr(out, name).start += p0 * getattr(self, name).stride
        return out


class FromToOp(Op):
    """From a matrix to one of the same number of panels."""

    in_place = True

    a = Part(Matrix, "the operand", per_panel=True)
    c = Part(Matrix, "the result", per_panel=True)


class RowsOp(Op):
    """Between a user's rows and panels."""

    a = Part(Matrix, "from where")
    c = Part(Matrix, "to where")
    count = Word("how often each row comes, or columns of a matrix, or of rows with codes")
    column = Word("where a unit vector has its 1; -1: one after another")
    tables = Link("Column", "which columns of rows with codes are codes")


class ProductOp(Op):
    """C = epilogue(start + A B)."""

    cut_by_columns = True

    a = Part(Matrix, "rows of as many numbers as B has lines a panel")
    b = Part(Matrix, "panels of weights", per_panel=True)
    c = Part(Matrix, "the result", per_panel=True)
    bias = LinePerPanel("the line each panel starts from; 0 starts from zero")
    y = Part(Matrix, "output of a relu, for its vjp", per_panel=True)
    epilogue = Word("an EPILOGUE_...")


class CodedOp(Op):
    """C = start + A B, where codes in A stand for columns."""

    a = Part(Matrix, "rows of numbers and codes")
    b = Part(Matrix, "panels of weights")
    c = Part(Matrix, "the result")
    bias = Word("the first line that a panel starts from; 0 starts from zero")
    tables = Link("Column", "which columns of A are codes")
    count = Word("how many columns A has")


class ElementwiseOp(FromToOp):
    """A function of one number or two."""

    elementwise = True

    y = Part(Matrix, "what the vjp reads, a second operand, or a second result", per_panel=True)
    setting_1 = Real("settings of the layer")
    setting_2 = Real("")


class DropoutOp(FromToOp):
    """A ∘ mask."""

    elementwise = True

    chance = Word("a value is dropped if its 32 random bits are below this")
    scale = Real("factor of kept values")
    p = Real("the probability of which both are made, again where it has a schedule")
    node = Word("the layer's index, part of the key of its mask")


class ColumnsOp(Op):
    """Columns copied, cleared, summed or repeated."""

    a = Part(Matrix, "the operand")
    c = Part(Matrix, "the result")
    first = Word("the first column of A")
    to = Word("the first column of C")
    count = Word("how many")
    closes = Word("1: zeros go behind the last column copied, to the end of its panel")
    factor = Real("factor of sums and copies")


class GainedOp(FromToOp):
    """Every column with its own number."""

    gain = Word("address of the numbers, one line a panel")
    shared = Word("1: the first of them serves all columns")
    shifts = Word("address of what is added to a scale's product, a line a panel; 0: nothing")
    y = Part(Matrix, "the saved input of a prelu, or what an activation makes of A", per_panel=True)


class NormOp(FromToOp):
    """Layer norm and RMS norm."""

    y = Part(Matrix, "normalised rows", per_panel=True)
    sums = Word("address of 1 / σ of each row")
    gain = Word("address of γ, a line a panel; 0: none")
    shifts = Word("address of β, a line a panel; 0: none")
    eps = Real("added to the variance")


class BatchNormOp(FromToOp):
    """Batch norm with known statistics."""

    y = Part(Matrix, "normalised columns", per_panel=True)
    mean = LinePerPanel("address of the means, a line a panel")
    variance = LinePerPanel("address of the variances")
    sum_d = LinePerPanel("address of Σ dy")
    sum_dx = LinePerPanel("address of Σ dy ∘ n")
    gain = LinePerPanel("address of γ; 0: none")
    shifts = LinePerPanel("address of β; 0: none")
    eps = Real("added to the variance")


class BatchNormSumsOp(BatchNormOp):
    """The statistics of columns, or the sums that their vjp needs."""

    whole_columns = True


class SoftmaxOp(FromToOp):
    """Functions of whole rows."""

    y = Part(Matrix, "output of the forward op")


class EmbeddingOp(Op):
    """Codes to rows of tables, other columns copied."""

    a = Part(Matrix, "the operand")
    c = Part(Matrix, "the result")
    tables = Link("Column", "how each column is handled")
    count = Word("how many columns")


class Bins(Record, line=True):
    """The bins of one column that stand in one panel of the result of a piecewise linear layer."""

    source = Word("the column")
    panel = Word("the panel of the wide side")
    lines = Word("address of four lines: each lane's bin, its width or 0, from where and up to where it rises, or NaN")


class BinsOp(Op):
    """Columns, and behind them the bins of some."""

    a = Part(Matrix, "the operand")
    c = Part(Matrix, "the result")
    y = Part(Matrix, "the saved input")
    inputs = Word("columns of the narrow side")
    bins = Link("Bins", "the bins, panel by panel")
    count = Word("how many of those records there are")


class LossOp(Op):
    """The loss of every row, and the first cotangent of the backward pass."""

    a = Part(Matrix, "outputs")
    c = Part(Matrix, "their cotangent")
    targets = Part(Matrix, "a user's array")
    sums = Word("address of scratch, one real a row")
    gain = Word("address of a line a panel: weights of outputs or classes, or a number of the loss")
    shifts = Word("address of a line a panel")
    setting_1 = Real("factor of derivatives, or a setting of the loss")
    setting_2 = Real("factor of a row's sum, or a setting of the loss")


class JoinOp(Op):
    """The joint loss of several outputs."""

    a = Part(Matrix, "the cotangent, unchanged")
    c = Part(Matrix, "the same")
    sums = Word("address of the sum so far, one real a row")
    weight = Real("of this output's loss")
    output = Word("which output; 0 begins the sum")
    last = Word("1: the sum becomes the loss of the row")


class GateOp(Op):
    """A gate of a traced function."""

    a = Part(Operand, "the first operand")
    b = Part(Operand, "the second")
    y = Part(Operand, "the third")
    c = Part(Operand, "the result")
    part_width = Word("columns taken or placed")


class NumberGateOp(GateOp):
    """A gate that works number by number."""

    elementwise = True
    in_place = True


class SumOp(Op):
    """A sum of rows."""

    whole_columns = True

    a = Part(Operand, "the rows", per_panel=True)
    c = Part(Operand, "their sum", per_panel=True)


class OuterOp(Op):
    """Aᵀ B."""

    whole_columns = True

    a = Part(Operand, "rows of as many numbers as C has rows")
    b = Part(Operand, "the same rows", per_panel=True)
    c = Part(Operand, "the result", per_panel=True)


class TakeOp(GateOp):
    """Part of a matrix, taken or placed."""

    part_rows = Word("rows of the part")
    row_begin = Word("its first row in the whole")
    row_jump = Word("how far the next is")
    column_begin = Word("its first column")
    column_jump = Word("how far the next is")


class Direction(Record, line=True):
    """A matrix of parameters, and what becomes of its direction: X, as wide as its shorter side; `newton_schulz.py`."""

    offset = Word("where it begins in `Blocks`, in bytes")
    stride = Word("bytes from one of its panels to the next")
    inputs = Word("lines of a panel")
    panels = Word("how many")
    turned = Word("1: X is its transpose")
    rows = Word("of X")
    width = Word("numbers in a row of X")
    gram = Part(Matrix, "S")
    forth = Part(ProductOp, "from X, by F, to the next")
    back = Part(ProductOp, "from there to the place of X")
    squares = RealsAt("the sum of squares of each panel")


class Turn(Task):
    """A part of a turn of the iteration that makes a matrix orthogonal."""

    matrix = Link("Direction", "which")
    swapped = Word("1: X is where `back` begins")
    r0 = Word("the first row, or block of rows")
    r1 = Word("the one behind the last")
    p0 = Word("the first panel, or block of columns")
    p1 = Word("the one behind the last")


class OpGroup(Record):
    """Ops of a traced function that run together, block by block of rows."""

    ops = Link("Op", "the first")
    count = Word("how many")
    begin = Word("the first row")
    end = Word("the one behind the last")
    block = Word("rows of a block")


class GateTask(Task):
    """Groups of a traced function, one after another."""

    groups = Link("OpGroup", "the first")
    count = Word("how many")


KINDS: dict[str, type[Record]] = {
    kind.__name__: kind
    for kind in (vars(records) | globals()).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
}
