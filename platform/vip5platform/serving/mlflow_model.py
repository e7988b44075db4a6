"""Log exported models to MLflow, and register them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

import vip5core
from vip5core.data.dataset import open_dataset
from vip5core.errors import UserError, first_line
from vip5core.serving import histories_of
from vip5platform.tracking.tracker import silence_mlflow

#: What an exported model imports; their versions here are its requirements.
_NEEDED = (
    "mlflow",
    "torch",
    "transformers",
    "peft",
    "safetensors",
    "tokenizers",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "scipy",
    "filelock",
    "pillow",
)
_SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.string, "user"),
            ColSpec(DataType.string, "item"),
            ColSpec(DataType.string, "time", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.string, "user"),
            ColSpec(DataType.integer, "rank"),
            ColSpec(DataType.string, "item"),
            ColSpec(DataType.float, "score"),
        ]
    ),
    params=ParamSchema([ParamSpec("k", DataType.integer, 20)]),
)


def log_model(exported: Path, dataset: Path, uri: str, run: str, register: str | None = None) -> str:
    """Log an exported model to the MLflow run of its trial.

    Args:
        exported: The folder of the exported model.
        dataset: The folder of its dataset, for an example of its input.
        uri: The tracking server or database.
        run: The id of the run.
        register: The name under which a new version is registered; None registers nothing.

    Returns:
        The address of the model, `models:/…`.

    Raises:
        UserError: if MLflow cannot be reached, or refuses the model.
    """
    silence_mlflow()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.set_experiment(experiment_id=mlflow.get_run(run).info.experiment_id)
        logged = Model.log(
            artifact_path=None,
            name="recommender",
            flavor=mlflow.pyfunc,
            run_id=run,
            registered_model_name=register,
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={"model": str(exported)},
            code_paths=[str(Path(vip5core.__file__).parent)],
            signature=_SIGNATURE,
            input_example=_example(dataset),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _NEEDED],
        )
    except MlflowException as error:
        raise UserError(f"MLflow at {uri!r} does not take the model: {first_line(error)}") from None
    finally:
        mlflow.set_tracking_uri(before)
    if register is not None:
        return f"models:/{register}/{logged.registered_model_version}"
    return str(logged.model_uri)


def _example(dataset: Path) -> pd.DataFrame:
    """The histories of two users."""
    opened = open_dataset(dataset)
    return histories_of(opened, opened.users["raw_id"].head(2)).reset_index(drop=True)
