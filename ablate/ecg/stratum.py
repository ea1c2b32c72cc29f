"""A random order in which every stretch from the start looks like the whole: nested subsets come from its prefixes."""

import numpy as np
from jaxtyping import Bool, Int


def balanced_order(labels: Bool[np.ndarray, "item label"], *, seed: int) -> Int[np.ndarray, "item"]:
    """All items in an order whose every prefix has about the label rates of the whole.

    Items are laid out in a row with equal label sets side by side, rarest labels first. Then neighbours are paired,
    and a coin sends one of each pair to the first half of the order and the other to the second; the halves are
    treated alike until single items are left. Each prefix thus takes its share of every stretch of the row, hence of
    every label.

    Source: own; local pivoting as in Grafström, Lundström, Schelin, "Spatially balanced sampling through the pivotal
    method" (2012), done level by level so that subsets nest, which iterative stratification (Sechidis 2011) does not.
    """
    random = np.random.default_rng(seed)
    row = _row_of_likes(labels, random)
    width = 1 << max(len(row) - 1, 0).bit_length()
    order = np.full(width, -1)
    order[: len(row)] = row
    while width > 1:
        pairs = order.reshape(-1, width // 2, 2)
        swapped = np.where(random.random(pairs.shape[:2])[..., None] < 0.5, pairs[..., ::-1], pairs)
        order = swapped.transpose(0, 2, 1).reshape(-1)
        width //= 2
    return order[order >= 0]


def _row_of_likes(labels: Bool[np.ndarray, "item label"], random: np.random.Generator) -> Int[np.ndarray, "item"]:
    rarest_first = np.argsort(labels.sum(axis=0), kind="stable")
    packed = np.packbits(labels[:, rarest_first], axis=1)
    shuffled = random.permutation(len(labels))
    if not packed.shape[1]:
        return shuffled
    as_text = np.ascontiguousarray(packed[shuffled]).view(f"S{packed.shape[1]}").ravel()
    return shuffled[np.argsort(as_text, kind="stable")]
