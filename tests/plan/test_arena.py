"""Values with overlapping lifetimes never share a byte, and borders of zeros are never overwritten."""

import itertools
import random

from npresnet.plan.arena import ALIGNMENT_BYTES, Request, assign_offsets
from npresnet.plan.lifetimes import Lifetime


def random_requests(seed: int) -> list[Request]:
    rng = random.Random(seed)
    requests = []
    for number in range(rng.randint(1, 40)):
        first = rng.randint(-1, 30)
        lifetime = Lifetime(first, first + rng.randint(0, 8))
        border = rng.choice([None, None, "58x58x64", "30x30x128"])
        size_bytes = {"58x58x64": 861184, "30x30x128": 460800}.get(border, 4 * rng.randint(0, 5000))
        requests.append(Request(f"v{number}", size_bytes, lifetime, border))
    return requests


def share_bytes(a: Request, b: Request, offsets: dict[str, int]) -> bool:
    start_a, start_b = offsets[a.name], offsets[b.name]
    return start_a < start_b + b.size_bytes and start_b < start_a + a.size_bytes


def overlapping_pairs(requests, offsets):
    """The pairs with overlapping lifetimes that share bytes."""
    for a, b in itertools.combinations(requests, 2):
        if share_bytes(a, b, offsets) and a.lifetime.overlaps(b.lifetime):
            yield a, b


def test_values_with_overlapping_lifetimes_share_no_byte(subtests):
    for seed in range(200):
        with subtests.test(seed=seed):
            requests = random_requests(seed)
            offsets, arena_bytes = assign_offsets(requests)
            assert not list(overlapping_pairs(requests, offsets))
            for request in requests:
                assert offsets[request.name] % ALIGNMENT_BYTES == 0
                assert offsets[request.name] + request.size_bytes <= arena_bytes


def test_memory_with_a_border_is_reused_only_by_equal_shapes(subtests):
    for seed in range(50):
        with subtests.test(seed=seed):
            requests = random_requests(seed)
            offsets, _ = assign_offsets(requests)
            for a, b in itertools.combinations(requests, 2):
                if a.border != b.border:
                    assert not share_bytes(a, b, offsets), (a, b)


def test_memory_is_reused():
    chain = [Request(f"v{i}", 1000, Lifetime(i, i + 1)) for i in range(50)]
    _, arena_bytes = assign_offsets(chain)
    assert arena_bytes == 2 * 1024

    bordered = [Request(f"v{i}", 1000, Lifetime(i, i + 1), "border") for i in range(50)]
    _, arena_bytes = assign_offsets(bordered)
    assert arena_bytes == 2 * 1024


def test_the_check_detects_a_planted_overlap():
    requests = [Request("a", 100, Lifetime(0, 2)), Request("b", 100, Lifetime(2, 3))]
    assert list(overlapping_pairs(requests, {"a": 0, "b": 64}))
