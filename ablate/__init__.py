"""Which part of a post-training recipe matters: ablation studies of ECG foundation models, with intervals."""

__version__ = "0.1.0"
