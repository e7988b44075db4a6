"""An exported model as MLflow loads it: this file is copied into the MLflow model, and needs `vip5core` alone."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from vip5core.serving import load_exported


class RecommenderModel(PythonModel):
    """Histories in, lists out: see `vip5core.serving.Recommender.recommend`."""

    def load_context(self, context: Any) -> None:
        """Load the folder of the exported model."""
        self.recommender = load_exported(context.artifacts["model"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The lists for a table with the columns user, item and, if it has one, time; `k` is the parameter."""
        del context
        table = model_input.dropna(axis="columns", how="all")  # an optional column that a request left out
        return self.recommender.recommend(table, int((params or {}).get("k", 20)))


set_model(RecommenderModel())
