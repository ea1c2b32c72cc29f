"""Agents as an indexed Kubernetes Job."""
