"""Odd values, names and bytes, and how they get into files: what `odd_configs` and `odd_tables` are made with."""

import random

TITLE = "\x1b]0;OWNED\x07\x1b[2J"
NUMBERS = [
    *("0", "-0", "-0.0", "1", "-1", "0.5", "1e-3", "1e308", "-1e308", "1e400", "-1e400", "1e-320", "1e-400"),
    *("nan", "NaN", ".nan", "inf", "-inf", "Infinity", ".inf", "0x1F", "0o17", "1_000", "010", "+1", "1.", ".5", "1e"),
    *(str(2**31), str(2**53 + 1), str(2**63 - 1), str(2**63), str(-(2**63) - 1), str(2**64), str(2**70), "9" * 400),
    *("9" * 5000, "１２", "٣", "1,5", "1 000", "--1", "1e5e5", "0x", "1j", "1f", "½"),
]
TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\n",
        "\r",
        "\r\n",
        "\t",
        '"',
        '""',
        "'",
        "\\",
        "`",
        "a\nb",
        "a\rb",
        "a,b",
        "a;b",
        "#",
        "# a",
        ": ",
    ),
    *(
        "NA",
        "null",
        "~",
        "None",
        "?",
        "true",
        "no",
        "on",
        "{}",
        "[]",
        "{a: 1}",
        "- a",
        "a: b",
        "&a",
        "*a",
        "!!python",
        "<<",
    ),
    *(
        TITLE,
        "\x7f",
        "\x80",
        "\x85",
        "\u2028",
        "\u202e",
        "\ufeff",
        "\U0001f600",
        "é",
        "e\u0301",
        "х",
        "a" * 300,
        "é" * 3000,
    ),
    *(
        "=1+1",
        "+a",
        "-a",
        "@a",
        "__class__",
        "../../etc/passwd",
        "/dev/null",
        "%s%n",
        "$HOME",
        "a.b",
        "a[0]",
        ".",
        "..",
    ),
]
BYTES = [
    *(
        b"\0",
        b"\xff",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\x80",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\x1b[2J",
        b"\r",
        b"\n",
        b"\n\n",
    ),
    *(
        b'"',
        b"'",
        b",",
        b";",
        b"\t",
        b":",
        b" ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"#",
        b"-",
        b"=",
        b"&a ",
        b"*a",
        b"!!str ",
        b"|",
    ),
    *(
        b"---\n",
        b"...\n",
        b"<<: ",
        b"? ",
        b"[[",
        b"]]",
        b"'''",
        b'"""',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"e9",
        b"0",
        b"1",
    ),
]


def of(kind, seed, number):
    """The random numbers of one mutant."""
    return random.Random(f"{kind} {seed} {number}")


def text(rng):
    return rng.choice([rng.choice(NUMBERS), rng.choice(TEXTS), rng.choice(TEXTS) + rng.choice(TEXTS)])


def damaged(rng, content, most=3):
    """Bytes with some of them changed, moved, missing, doubled or new."""
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(content) + 1)
        end = at + rng.choice([0, 1, 1, 2, 4, 8, 60])
        other = rng.randrange(len(content) + 1)
        content = rng.choice(
            [
                lambda: content[:at] + rng.choice(BYTES) + content[end:],  # noqa: B023
                lambda: content[:at] + content[end:],  # noqa: B023
                lambda: content[:at],  # noqa: B023
                lambda: content[:at] + content[other : other + 30] + content[at:],  # noqa: B023
                lambda: content[:at] + bytes(b ^ 1 << rng.randrange(8) for b in content[at:end]) + content[end:],  # noqa: B023
                lambda: content[:at] + rng.choice(NUMBERS).encode() + content[end:],  # noqa: B023
            ]
        )()
    return content
