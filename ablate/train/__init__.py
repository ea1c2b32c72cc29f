"""Post-training as a library: knows neither Optuna nor the database."""
