"""Layers that PyTorch has no module for, as classes of it: the texts that stand in front of a network which needs them.

Behind `Members` rows have an axis of members in front, (K, B, N); all that computes in place of one row does so then.
"""

from __future__ import annotations

SCALE = '''
class Scale(nn.Module):
    """y = s x."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return x * self.weight
'''

FEATURE_PRELU = '''
class FeaturePReLU(nn.Module):
    """y = z if z > 0 else a z, of the last axis."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.full((features,), 0.25))

    def forward(self, x):
        return torch.where(x > 0, x, x * self.weight)
'''

PARAMETRIC = '''
class Parametric(nn.Module):
    """y = z + a (φ(z) - z)."""

    def __init__(self, features, activation):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.activation = activation

    def forward(self, x):
        return x + self.weight * (self.activation(x) - x)
'''

FORMULA = '''
class Formula(nn.Module):
    """A function of rows."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)
'''

EMBEDDING = '''
class Embedding(nn.Module):
    """Other columns, then rows of tables: column -> (categories, width)."""

    def __init__(self, inputs, columns):
        super().__init__()
        self.kept = [column for column in range(inputs) if column not in columns]
        self.tables = nn.ModuleDict({str(column): nn.Embedding(*shape) for column, shape in columns.items()})

    def forward(self, x):
        found = [table(x[..., int(column)].long()) for column, table in self.tables.items()]
        return torch.cat([x[..., self.kept], *found], -1)
'''

_COME = '''
    def come(self, x, column):
        """How far a column has come through each of its bins."""
        edges = torch.tensor(self.columns[column], dtype=x.dtype, device=x.device)
        z, low, high = x[..., column : column + 1], edges[:-1].clone(), edges[1:].clone()
        low[0], high[-1] = -torch.inf, torch.nan
        rising = (z - edges[:-1]) / edges.diff()
        return torch.where(z < low, 0.0, torch.where(z >= high, 1.0, rising))
'''

PIECEWISE_LINEAR = f'''
class PiecewiseLinear(nn.Module):
    """The columns, and how far each has come through its bins: column -> edges."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns
{_COME}
    def forward(self, x):
        return torch.cat([x, *(self.come(x, column) for column in self.columns)], -1)
'''

PIECEWISE_LINEAR_EMBEDDING = f'''
class PiecewiseLinearEmbedding(nn.Module):
    """w x + b + e V of each column, e as far as it has come through its bins; then other columns."""

    def __init__(self, inputs, columns, features):
        super().__init__()
        self.columns = columns
        self.kept = [column for column in range(inputs) if column not in columns]
        bins = max(len(edges) for edges in columns.values()) - 1
        self.slope = nn.Parameter(torch.zeros(len(columns), features))
        self.bias = nn.Parameter(torch.zeros(len(columns), features))
        self.weight = nn.Parameter(torch.zeros(len(columns), bins, features))
{_COME}
    def forward(self, x):
        found = []
        for i, column in enumerate(self.columns):
            come = self.come(x, column)
            line = x[..., column : column + 1] * self.slope[i] + self.bias[i]
            found.append(line + come @ self.weight[i, : come.shape[-1]])
        return torch.cat([*found, x[..., self.kept]], -1)
'''

PBLD = '''
class PBLD(nn.Module):
    """[h W + β of each column, x], h = cos(2π w x + b)."""

    def __init__(self, columns, frequencies, features):
        super().__init__()
        self.columns = columns
        self.frequency = nn.Parameter(torch.zeros(len(columns), frequencies))
        self.phase = nn.Parameter(torch.zeros(len(columns), frequencies))
        self.weight = nn.Parameter(torch.zeros(len(columns), frequencies, features))
        self.bias = nn.Parameter(torch.zeros(len(columns), features))

    def forward(self, x):
        h = torch.cos(2 * torch.pi * x[..., self.columns, None] * self.frequency + self.phase)
        y = torch.einsum("...cw,cwf->...cf", h, self.weight) + self.bias
        return torch.cat([y.flatten(-2), x], -1)
'''

COSINE = '''
class CosineEmbedding(nn.Module):
    """[h a + c of each column, x], h = cos(2π (w x + b))."""

    def __init__(self, columns, frequencies):
        super().__init__()
        self.columns = columns
        self.frequency = nn.Parameter(torch.zeros(len(columns), frequencies))
        self.phase = nn.Parameter(torch.zeros(len(columns), frequencies))
        self.weight = nn.Parameter(torch.zeros(len(columns), frequencies))
        self.bias = nn.Parameter(torch.zeros(len(columns), frequencies))

    def forward(self, x):
        h = torch.cos(2 * torch.pi * (x[..., self.columns, None] * self.frequency + self.phase))
        return torch.cat([(h * self.weight + self.bias).flatten(-2), x], -1)
'''

PERIODIC = '''
class PeriodicEmbedding(nn.Module):
    """max(0, cos(u) A + sin(u) B + β) of each column, u = 2π w x; then other columns."""

    def __init__(self, inputs, columns, frequencies, features):
        super().__init__()
        self.columns = columns
        self.kept = [column for column in range(inputs) if column not in columns]
        self.frequency = nn.Parameter(torch.zeros(len(columns), frequencies))
        self.cosine = nn.Parameter(torch.zeros(len(columns), frequencies, features))
        self.sine = nn.Parameter(torch.zeros(len(columns), frequencies, features))
        self.bias = nn.Parameter(torch.zeros(len(columns), features))

    def forward(self, x):
        u = 2 * torch.pi * x[..., self.columns, None] * self.frequency
        cosine = torch.einsum("...cw,cwf->...cf", torch.cos(u), self.cosine)
        sine = torch.einsum("...cw,cwf->...cf", torch.sin(u), self.sine)
        return torch.cat([torch.relu(cosine + sine + self.bias).flatten(-2), x[..., self.kept]], -1)
'''

MEMBERS = '''
class Members(nn.Module):
    """Each row becomes one of every member: (B, N) to (K, B, N)."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, x):
        return x.expand(self.count, *x.shape)
'''

MEMBER_SCALE = '''
class MemberScale(nn.Module):
    """y = s x, s of each member."""

    def __init__(self, members, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, features))

    def forward(self, x):
        return x * self.weight[:, None]
'''

MEMBER_LINEAR = '''
class MemberLinear(nn.Module):
    """z = x W + b, W and b of each member."""

    def __init__(self, members, inputs, outputs, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs)) if bias else None

    def forward(self, x):
        z = x @ self.weight
        return z if self.bias is None else z + self.bias[:, None]
'''

ADAPTED_LINEAR = '''
class AdaptedLinear(nn.Module):
    """z = s ((r x) W) + b, r, s and b of each member."""

    def __init__(self, members, inputs, outputs, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs)) if bias else None
        self.r = nn.Parameter(torch.ones(members, inputs))
        self.s = nn.Parameter(torch.ones(members, outputs))

    def forward(self, x):
        z = self.s[:, None] * F.linear(self.r[:, None] * x, self.weight)
        return z if self.bias is None else z + self.bias[:, None]
'''

MEAN_OF_MEMBERS = '''
class MeanOfMembers(nn.Module):
    """What members say together: the mean of their values, or of the probabilities that these stand for."""

    def __init__(self, average):
        super().__init__()
        self.average = average

    def forward(self, x):
        def mean(logs):
            return torch.logsumexp(logs, 0) - torch.tensor(float(len(logs)), dtype=x.dtype).log()

        if self.average == "values":
            return x.mean(0)
        if self.average == "softmax":
            return mean(F.log_softmax(x, -1))
        return mean(F.logsigmoid(x)) - mean(F.logsigmoid(-x))
'''
