"""What whoever has SHA-256 of a secret and a text can make of it: that of a longer text, without the secret.

The compression of FIPS 180-4 is written out, as hashlib does not begin in the middle.
"""

from __future__ import annotations

import struct
from itertools import count, islice

_MASK = 0xFFFFFFFF
_PRIMES = list(islice((n for n in count(2) if all(n % d for d in range(2, n))), 64))


def extended(digest: bytes, known_bytes: int, suffix: bytes) -> tuple[bytes, bytes]:
    """Gives what stands between a text of so many bytes, secret included, and a suffix; and the digest of all three."""
    glue = _padding(known_bytes)
    total_bytes = known_bytes + len(glue) + len(suffix)
    rest = suffix + _padding(total_bytes)
    state = struct.unpack(">8I", digest)
    for start in range(0, len(rest), 64):
        state = _compressed(state, rest[start : start + 64])
    return glue, struct.pack(">8I", *state)


def _padding(size: int) -> bytes:
    return b"\x80" + bytes((55 - size) % 64) + struct.pack(">Q", 8 * size)


def _compressed(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    words = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        low = _rotated(words[i - 15], 7) ^ _rotated(words[i - 15], 18) ^ words[i - 15] >> 3
        high = _rotated(words[i - 2], 17) ^ _rotated(words[i - 2], 19) ^ words[i - 2] >> 10
        words.append((words[i - 16] + low + words[i - 7] + high) & _MASK)
    a, b, c, d, e, f, g, h = state
    for prime, word in zip(_PRIMES, words, strict=True):
        one = _rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)
        first = h + one + (e & f ^ ~e & g) + _cube_root_bits(prime) + word
        zero = _rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)
        second = zero + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g
    return tuple((old + new) & _MASK for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True))


def _rotated(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & _MASK


def _cube_root_bits(prime: int) -> int:
    """Gives the first 32 bits behind the point of a cube root: what the standard takes its constants from."""
    scaled, root = prime << 96, 0
    for bit in reversed(range(36)):
        if (root | 1 << bit) ** 3 <= scaled:
            root |= 1 << bit
    return root & _MASK
