"""Recommenders to compare a model with, through the same questions and metrics."""
