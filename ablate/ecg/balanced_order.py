"""A random order in which every stretch from the start looks like the whole: nested subsets come from its prefixes."""

import numpy as np
from jaxtyping import Bool, Float32, Int


def balanced_order(labels: Bool[np.ndarray, "item label"], *, seed: int) -> Int[np.ndarray, "item"]:
    """All items in an order whose every prefix has about the label rates of the whole.

    Items are laid out in a row, equal label sets side by side. Neighbours are paired, and one of each pair goes to the
    first half of the order, the other to the second: whichever way keeps the halves' labels more alike, by a coin
    where it makes no difference. The halves are treated alike until single items are left. No item is favoured: the
    mirror image of every outcome is as likely as the outcome.

    Source: own. Iterative stratification (Sechidis 2011) draws one subset of one size; these nest at every size.
    Pairing likes is Grafström's local pivoting (2012), choosing the side is the greedy answer to vector balancing.
    """
    random = np.random.default_rng(seed)
    row = _row_of_likes(labels, random)
    width = 1 << max(len(row) - 1, 0).bit_length()
    order = np.full(width, -1)
    order[: len(row)] = row
    weights = _weights(labels)
    while width > 1:
        pairs = order.reshape(-1, width // 2, 2)
        swap = _swaps(weights[pairs[..., 1]] - weights[pairs[..., 0]], random)
        pairs = np.where(swap[..., None], pairs[..., ::-1], pairs)
        order = pairs.transpose(0, 2, 1).reshape(-1)
        width //= 2
    return order[order >= 0]


def _row_of_likes(labels: Bool[np.ndarray, "item label"], random: np.random.Generator) -> Int[np.ndarray, "item"]:
    """Items sorted by their label sets, rarest labels first, and shuffled among equals."""
    shuffled = random.permutation(len(labels))
    if not labels.shape[1]:
        return shuffled
    rarest_first = np.argsort(labels.sum(axis=0), kind="stable")
    packed = np.packbits(labels[:, rarest_first], axis=1)
    as_text = np.ascontiguousarray(packed[shuffled]).view(f"S{packed.shape[1]}").ravel()
    return shuffled[np.argsort(as_text, kind="stable")]


def _weights(labels: Bool[np.ndarray, "item label"]) -> Float32[np.ndarray, "padded label"]:
    """What each item weighs in the balance: rare labels more, being there at all a little; nothing for the padding."""
    n_positive = np.maximum(labels.sum(axis=0), 1)
    weights = np.zeros((len(labels) + 1, labels.shape[1] + 1), np.float32)
    weights[:-1, :-1] = labels / np.sqrt(n_positive)
    weights[:-1, -1] = 1 / np.sqrt(max(len(labels), 1))
    return weights


def _swaps(
    difference: Float32[np.ndarray, "group pair label"], random: np.random.Generator
) -> Bool[np.ndarray, "group pair"]:
    """Which pairs to swap, pair after pair in all groups at once, so that each group's halves stay in balance."""
    swap = random.random(difference.shape[:2]) < 0.5
    lead = np.zeros((difference.shape[0], difference.shape[2]), np.float32)  # of the second half over the first
    for pair in np.flatnonzero(difference.any(axis=(0, 2))):
        step = difference[:, pair]
        pull = (lead * step).sum(axis=1)
        swap[:, pair] = np.where(np.abs(pull) > 1e-9, pull > 0, swap[:, pair])
        lead += np.where(swap[:, pair, None], -step, step)
    return swap
