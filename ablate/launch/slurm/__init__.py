"""Agents in a Slurm queue."""
