"""Recommenders to compare models with, on the same questions and metrics."""
