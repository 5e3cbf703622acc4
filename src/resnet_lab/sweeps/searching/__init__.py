"""A search of Optuna's over the settings of a sweep."""
