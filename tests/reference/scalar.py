"""The random numbers once more, with Python integers."""


def scalar_philox(counter: list[int], seed: int) -> list[int]:
    """Philox4x32-10 with Python integers, as the paper writes it: two S-boxes, then bump the key."""
    left1, right1, left2, right2 = counter[1], counter[0], counter[3], counter[2]
    key0, key1 = seed % 2**32, seed // 2**32
    for _ in range(10):
        high0, low0 = divmod(right1 * 0xD2511F53, 2**32)
        high1, low1 = divmod(right2 * 0xCD9E8D57, 2**32)
        right1, left1, right2, left2 = high1 ^ left1 ^ key0, low1, high0 ^ left2 ^ key1, low0
        key0, key1 = (key0 + 0x9E3779B9) % 2**32, (key1 + 0xBB67AE85) % 2**32
    return [right1, left1, right2, left2]


def scalar_permutation(n: int, seed: int, epoch: int) -> list[int]:
    perm = list(range(n))
    for draw, i in enumerate(range(n - 1, 0, -1)):
        word = scalar_philox([draw // 4, epoch, 0, 1], seed)[draw % 4]
        j = (word * (i + 1)) // 2**32
        perm[i], perm[j] = perm[j], perm[i]
    return perm


def scalar_mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ (x >> 16)
