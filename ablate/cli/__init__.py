"""The command line: the only floor that prints, exits and sets up logging."""
