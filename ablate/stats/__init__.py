"""Scores, contrasts, intervals and importances; numpy and scipy only."""
