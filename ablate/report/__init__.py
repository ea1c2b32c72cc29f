"""Facts, figures and the page."""
