"""Divides a set that has no official splits, class by class, by hashes of its entries' names alone.

The same names, classes and seed are divided alike on every machine and by every version of NumPy.
"""

import collections
import hashlib
from collections.abc import Mapping

from emotion_gcn_jax.errors import UserError


def divide(class_of: Mapping[str, str], *, test: Mapping[str, int], validation: int, seed: int) -> dict[str, str]:
    """Puts every entry into one of the splits train, validation and test.

    Args:
        class_of: an entry's name -> its class.
        test: how many of each class are tested on.
        validation: how many validate, in the proportion of what is left of the classes; the others are trained on.
        seed: another one gives another division.

    Raises:
        UserError: there are too few entries of a class, or of all.
    """
    counts = collections.Counter(class_of.values())
    for word, count in counts.items():
        if count <= test[word]:
            raise UserError(
                f"Expected more than {test[word]} entries of {word}, so many to test by, and found {count}: complete "
                "the release, or choose another config."
            )
    left = {word: count - test[word] for word, count in counts.items()}
    if validation >= sum(left.values()):
        raise UserError(
            f"Expected more than {validation} entries besides those to test by, so many to validate by, and found "
            f"{sum(left.values())}: complete the release, or choose another config."
        )
    validating = apportion(left, validation)
    place: collections.Counter[str] = collections.Counter()
    split_of = {}
    for name in sorted(class_of, key=lambda name: hashlib.blake2b(f"{seed} {name}".encode()).digest()):
        word = class_of[name]
        ends = (("test", test[word]), ("validation", test[word] + validating[word]), ("train", counts[word]))
        split_of[name] = next(split for split, end in ends if place[word] < end)
        place[word] += 1
    return split_of


def apportion(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """Divides `total` over classes in the proportion of their counts, by the largest remainders.

    Args:
        counts: of each class.
        total: what the result adds up to; at most as many as the counts do.
    """
    everything = sum(counts.values())
    whole = {word: count * total // everything for word, count in counts.items()}
    by_remainder = sorted(counts, key=lambda word: -(counts[word] * total % everything))  # stable: then in their order
    for word in by_remainder[: total - sum(whole.values())]:
        whole[word] += 1
    return whole
