"""The constants of the formulas in `functions`, one set for each dtype."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """The constants of a dtype; every one is a number of that dtype."""

    digits: int  # of the fraction
    bias: int  # of the exponent
    sqrt_half: int  # the bits of √½
    tiny: float  # the smallest normal number
    huge: float
    round_integer: float  # 1.5 * 2**digits: t = y + round_integer ends in the bits of rint(y)
    log2_e: float
    ln2_high: float
    ln2_low: float  # ln2 - ln2_high
    exp_least: float  # the least x with exp(x) >= tiny
    exp_most: float  # the greatest x with a finite exp(x)
    sigmoid_least: float  # n is -bias here, so s is 0
    sigmoid_most: float  # s + 1 is s here and exp(-x) is lost beside 1, so the result is 1
    tanh_most: float  # 1 - tanh(x) is less than half a unit from here on
    erf_most: float  # 1 - erf(x) is less than half a unit from here on
    E: tuple[float, ...]  # eʳ = 1 + r + r² E(r)
    T: tuple[float, ...]  # tanh r = r + r³ T(r²)
    L: tuple[float, ...]  # log(1 + g) = g - q (g - z L(z)), q = g / (2 + g), z = q²
    S: tuple[float, ...]  # erf x = x + x S(x²), up to 7/8
    C: tuple[float, ...]  # erf x = 1 - exp(C(x)), from there to erf_most


FLOAT32 = Format(
    digits=23,
    bias=127,
    sqrt_half=0x3F3504F3,
    tiny=2.0**-126,
    huge=2.0**127,
    round_integer=1.5 * 2.0**23,
    log2_e=1.4426950216293335,
    ln2_high=0.6931471824645996,
    ln2_low=-1.9046542121259336e-09,
    exp_least=-87.33654022216797,
    exp_most=88.72283172607422,
    sigmoid_least=-88.0,
    sigmoid_most=40.0,
    tanh_most=9.5,
    erf_most=3.9375,
    E=(
        0.4999999403953552,
        0.1666652113199234,
        0.04166825860738754,
        0.00836866907775402,
        0.0013821354368701577,
    ),
    T=(-0.3333321511745453, 0.13322700560092926, -0.05122752860188484),
    L=(0.6666677594184875, 0.39977583289146423, 0.2987079322338104),
    S=(
        0.12837915122509003,
        -0.3761250376701355,
        0.11281921714544296,
        -0.02677047811448574,
        0.004998897202312946,
        -0.0006020190776325762,
    ),
    C=(
        -0.00013358454452827573,
        -1.1279361248016357,
        -0.6367371678352356,
        -0.10432761162519455,
        0.022420287132263184,
        -0.0030923110898584127,
        0.00020099792163819075,
    ),
)

FLOAT64 = Format(
    digits=52,
    bias=1023,
    sqrt_half=0x3FE6A09E667F3BCD,
    tiny=2.0**-1022,
    huge=2.0**1023,
    round_integer=1.5 * 2.0**52,
    log2_e=1.4426950408889634,
    ln2_high=0.6931471805599453,
    ln2_low=2.3190468138462996e-17,
    exp_least=-708.3964185322641,
    exp_most=709.782712893384,
    sigmoid_least=-709.0,
    sigmoid_most=40.0,
    tanh_most=20.0,
    erf_most=5.9375,
    E=(
        0.5000000000000011,
        0.1666666666666645,
        0.041666666666527324,
        0.008333333333473563,
        0.0013888888944206166,
        0.0001984126954803437,
        2.4801492613122808e-05,
        2.755755181692968e-06,
        2.7630394138604994e-07,
        2.501039889531936e-08,
    ),
    T=(
        -0.33333333333332427,
        0.13333333332989858,
        -0.053968253527932525,
        0.02186946174566079,
        -0.00886236200138209,
        0.003576409020605021,
        -0.001307660720781875,
    ),
    L=(
        0.6666666666666734,
        0.39999999999416697,
        0.28571428742010674,
        0.2222219860707645,
        0.18183562741670342,
        0.15314087676409555,
        0.1479560507744408,
    ),
    S=(
        0.12837916709551256,
        -0.37612638903183077,
        0.11283791670918124,
        -0.026866170637470668,
        0.005223977544760495,
        -0.0008548322076173294,
        0.00012055143717501238,
        -1.4920986532834563e-05,
        1.6387835356000678e-06,
        -1.5621927420623896e-07,
        1.0463420606797885e-08,
    ),
    C=(
        -1.986756941711147e-07,
        -1.1283770165378184,
        -0.6366305534362278,
        -0.10273943414392142,
        0.019058564202142726,
        0.00031549870408460615,
        -0.0018156315393829594,
        0.0006887576337461806,
        -8.267054136808486e-05,
        -4.66689575648877e-05,
        3.3308195491695816e-05,
        -1.1929464741743563e-05,
        2.9210052347773537e-06,
        -5.165086374132164e-07,
        6.552591189791317e-08,
        -5.690887616570452e-09,
        3.039212639258712e-10,
        -7.536811814496232e-12,
    ),
)
