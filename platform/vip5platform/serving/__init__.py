"""Trained models for others: their cards, and MLflow's form of them."""
