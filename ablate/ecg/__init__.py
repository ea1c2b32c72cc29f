"""Records, labels, folds and prepared arrays."""
