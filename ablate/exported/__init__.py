"""Models that leave a study: their folders, loading, predicting and training anew."""
