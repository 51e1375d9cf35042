"""Measures the promises that a test cannot hold: time and memory. Usage: ``python -m benchmarks``."""
