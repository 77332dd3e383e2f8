"""The cache that others are built on: bounded by weight, the least recently used dropped first."""

from mic_mail.weighted_cache import WeightedCache


def test_least_recently_used_is_dropped_first() -> None:
    """What was read counts as used; what is dropped is no longer weighed."""
    cache: WeightedCache[str, str] = WeightedCache(10)
    for key in "abc":
        cache.put(key, key, 3)
    assert cache.get("a") == "a"
    cache.put("d", "d", 3)
    assert [cache.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert (len(cache), cache.weight) == (3, 9)


def test_value_put_again_is_weighed_once() -> None:
    """The new value takes the place and the weight of the old one."""
    cache: WeightedCache[str, int] = WeightedCache(10)
    cache.put("a", 1, 4)
    cache.put("b", 2, 4)
    cache.put("a", 3, 6)
    assert (cache.get("a"), cache.get("b"), cache.weight) == (3, 2, 10)


def test_heavy_value_stays_until_the_next_one_comes() -> None:
    """A value above the bound drops all others, and is dropped by the next."""
    cache: WeightedCache[str, int] = WeightedCache(10)
    cache.put("a", 1, 1)
    cache.put("heavy", 2, 11)
    assert (cache.get("a"), cache.get("heavy")) == (None, 2)
    cache.put("b", 3, 1)
    assert (cache.get("heavy"), cache.get("b"), cache.weight) == (None, 3, 1)


def test_dropped_keys_weigh_nothing() -> None:
    """By one key, or by what holds of a key; an unknown key is no error."""
    cache: WeightedCache[int, str] = WeightedCache(10)
    for key in range(4):
        cache.put(key, "x", 2)
    cache.drop(0)
    cache.drop(17)
    cache.drop_where(lambda key: key > 1)
    assert (cache.get(1), len(cache), cache.weight) == ("x", 1, 2)
