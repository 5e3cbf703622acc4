"""Derive seeds from other seeds."""


def derive_seed(*parts: int) -> int:
    """Mix integers into one 63-bit seed; neighbouring inputs give unrelated seeds.

    Each part goes through the finaliser of SplitMix64 (Steele et al. 2014).
    """
    mask = (1 << 64) - 1
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1
