"""Agents on a Ray cluster."""
