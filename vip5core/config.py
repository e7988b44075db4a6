"""Every setting of a trial, declared once: its default, its bounds and what it does.

Each group of settings is what one part of the code needs; `TrialConfig` is all of them, so that it can be handed to any
of these parts as it is. Documentation and `--help` are made from this file by `vip5core.setting_docs`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vip5core.encoder_names import check_form, family_of
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import code_version, fingerprint
from vip5core.metrics import metric
from vip5core.templates import default_templates
from vip5core.vocabulary import (
    ADAPTER_POSITIONS,
    CANDIDATES,
    DEFAULT_ENCODER,
    DEFAULT_ENCODER_WEIGHTS,
    MAX_FIELD_TOKENS,
    SHARED,
    TASKS,
    AdapterPosition,
    ItemImages,
    Task,
    Tuning,
)

Count = Annotated[int, Field(ge=0)]


class TaskOptions(BaseModel):
    """What the model is asked to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    tasks: tuple[Task, ...] = TASKS
    """The tasks that are trained and tested."""


class ImageOptions(BaseModel):
    """Which image features the model sees."""

    model_config = TaskOptions.model_config

    encoder: str = DEFAULT_ENCODER
    """The visual encoder: RN50, RN101, ViT-B/32, ViT-B/16 or ViT-L/14 of the paper; open_clip:ARCHITECTURE/TAG,
    timm:NAME, hf:ORG/NAME or a local folder of these libraries; or features:PATH, features of your own
    (`vip5 encoders` lists names)."""

    encoder_weights: str = DEFAULT_ENCODER_WEIGHTS
    """The weights of the paper's encoders (the others name theirs themselves): openai, a weights file or a folder of
    them, provided (features that came with the dataset), or tiny (a small encoder of the same family with fixed random
    weights)."""

    feature_scaling: Literal["standard", "raw"] = "standard"
    """How features enter the mapping network: centred and scaled for each encoder, or raw, as in the official code."""

    item_images: ItemImages = "first"
    """The pictures of an item whose features it has: its first one, or the mean over all (see `vip5 images
    --per-item`). Features that are given (provided, features:PATH) stay as they are."""

    images: Literal["own", "shuffled"] = "own"
    """Give each item its own image, or another item's: a control that separates the effect of the image from that of
    more tokens."""


class ModelOptions(TaskOptions):
    """What is added to the backbone, and which parameters are trained."""

    image_tokens: int = Field(2, ge=0, le=8)
    """Tokens that an image takes in the prompt; 0 makes a text-only model."""

    mapping_norm: bool = True
    """Close the mapping network with an RMS norm."""

    tuning: Tuning = "adapter"
    """What is trained: adapters and layer norms, everything (full), the mapping network alone (frozen), LoRA or IA3."""

    reduction_factor: int = Field(8, ge=1)
    """Width of the backbone divided by the width of an adapter."""

    adapter_positions: tuple[AdapterPosition, ...] = ADAPTER_POSITIONS
    """The sub-layers that have adapters."""

    image_start: Literal["random", "placeholder"] = "random"
    """How image tokens start: at random, as in the official code, or at the embedding of the placeholder that has stood
    in their places in the P5 stage, which disturbs the backbone less."""

    adapter_sharing: Literal["shared", "per_task"] = "shared"
    """One adapter for all tasks, or one for each."""

    adapter_start: Literal["identity", "paper", "backbone"] = "identity"
    """How adapters start: changing nothing; at random as in the official code, which disturbs the backbone; or, with
    the mapping network, as those that came with the backbone (an official VIP5 checkpoint)."""

    extra_embeddings: Literal["frozen", "trained"] = "frozen"
    """Whether whole-word and category embeddings are trained; the official code leaves them frozen."""

    lora_rank: int = Field(8, ge=1)
    """Rank of LoRA's updates."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the backbone in training."""

    @property
    def uses_images(self) -> bool:
        return self.image_tokens > 0

    @property
    def adapter_tasks(self) -> tuple[str, ...]:
        """The names of the adapters at each position."""
        return self.tasks if self.adapter_sharing == "per_task" else (SHARED,)


class OptimOptions(BaseModel):
    """The optimiser and its schedule."""

    model_config = TaskOptions.model_config

    learning_rate: float = Field(1e-3, gt=0)
    """The peak learning rate."""

    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of all steps over which the rate rises from 0; after it the rate falls linearly to 0."""

    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW; biases are exempt."""

    decay_norms: bool = True
    """Decay layer norms too, as the official code does."""

    clip: float = Field(5.0, gt=0)
    """Largest norm of the gradient."""

    embedding_rate: float = Field(1.0, gt=0)
    """Learning rate of embedding tables, as a multiple of learning_rate."""

    adam_epsilon: float = Field(1e-8, gt=0)
    """Epsilon of AdamW; the official code has 1e-6."""


class SamplingOptions(TaskOptions):
    """Which prompts an epoch trains on."""

    samples_per_user: tuple[Count, Count, Count, Count] = (5, 5, 5, 5)
    """Prompts per user and epoch: next item, "is it next?", "would it suit?", choice among candidates."""

    samples_per_explanation: Count = 1
    """Prompts per explanation and epoch."""

    train_candidates: int = Field(CANDIDATES, ge=2)
    """Items to choose from in a training prompt, the target included."""

    history_window: Literal["any", "paper"] = "any"
    """Which items of a history are targets: any but the first, or one of the last three, as in the official code."""

    direct_targets: Literal["any", "newer"] = "any"
    """Which training items direct prompts ask for: any with equal chances, or newer ones more often, which is more like
    the test, whose item is the newest of all."""

    max_history: int = Field(50, ge=1)
    """How many of the newest items of a history a prompt shows."""

    max_samples: int | None = Field(None, ge=1)
    """Most prompts of an epoch, drawn anew from all of them in each; none means all."""


class EvaluationOptions(TaskOptions):
    """How a trained model is evaluated."""

    protocol: Literal["constrained", "exact", "paper"] = "constrained"
    """How items are ranked: by beam search over existing items, by the likelihood of every item (slow), or by free
    beams, as in the official code."""

    num_beams: int = Field(20, ge=10)
    """Beams of the search, which is also the length of a ranked list."""

    exclude_history: bool = True
    """Leave the items of a user's history out of the ranking; the official code ranks them too."""

    sequential_template: str = "A-3"
    """Template that asks for the next item."""

    direct_template: str = "B-5"
    """Template that asks for a choice among candidates."""

    explanation_template: str = "C-3"
    """Template that asks for an explanation."""

    validation_users: int = Field(1000, ge=1)
    """How many users are validated on, the same ones in each epoch; all, where there are fewer."""

    test_users: int | None = Field(None, ge=1)
    """How many users are tested; none means all."""


class TrainingOptions(BaseModel):
    """How long a trial trains, in which batches, and on which loss."""

    model_config = TaskOptions.model_config

    epochs: int = Field(20, ge=1)
    """Epochs of training; the best one on validation is tested."""

    batch_size: int = Field(36, ge=1)
    """Prompts of a training step, over all workers."""

    loss: Literal["token_mean", "paper"] = "token_mean"
    """Mean over a target's tokens, or divided by its length twice, as in the official code."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of an item token's loss that asks for all item tokens alike, so that a model is less sure of its item."""

    max_source_tokens: int = Field(1024, ge=32, le=1024)
    """Longest prompt; the oldest items of a history are cut first."""

    max_target_tokens: int = Field(64, ge=4, le=MAX_FIELD_TOKENS)
    """Longest target, and longest generated text."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the model's arithmetic."""

    select_by: str = "valid/score"
    """The valid/ metric by which the best epoch is chosen."""

    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs in a row without a better one; none trains all epochs."""


class TrialConfig(TrainingOptions, EvaluationOptions, SamplingOptions, OptimOptions, ModelOptions, ImageOptions):
    """All settings of a trial; their hash, with that of the data and the code, is the trial's identity.

    Unknown settings and impossible values are refused; `from_settings` names them, the rule and the nearest valid name.

    Examples:
        >>> config = TrialConfig.from_settings({"reduction_factor": "4", "tasks": "sequential,direct"})
        >>> config.reduction_factor, config.tasks, config.epochs
        (4, ('sequential', 'direct'), 20)
        >>> TrialConfig.from_settings({"reduction_facto": 4})
        Traceback (most recent call last):
        ...
        vip5core.errors.UserError: unknown setting 'reduction_facto': did you mean 'reduction_factor'? known: ...
    """

    seed: int = Field(0, ge=0)
    """Seed of everything random in the trial."""

    backbone: str = "t5-small"
    """The T5: a name on the hub, a folder, a checkpoint of the official P5 or VIP5, or built in (tiny, mini); after p5:
    if a P5 stage is to train it first."""

    probe: bool = False
    """After training, measure what can be read off the image tokens of an item; ignored by text-only trials."""

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        check_form(self.encoder)
        if not self.tasks:
            raise UserError(f"tasks=(): name at least one of {', '.join(TASKS)}")
        templates = default_templates()
        for field, group in (
            ("sequential_template", "next_item"),
            ("direct_template", "choice"),
            ("explanation_template", "explanation"),
        ):
            known = [t.id for t in templates.templates.values() if t.group == group and len(t.target) == 1]
            if getattr(self, field) not in known:
                raise unknown_name(field, getattr(self, field), known)
        if self.tuning == "frozen" and not self.uses_images and self.extra_embeddings == "frozen":
            raise UserError("tuning='frozen' with image_tokens=0: nothing is left to train; choose another tuning")
        chosen_by = metric(self.select_by)
        if chosen_by.split != "valid":
            raise UserError(f"select_by={self.select_by!r}: epochs are chosen on validation; name a valid/ metric")
        if chosen_by.task is not None and chosen_by.task not in self.tasks:
            raise UserError(f"select_by={self.select_by!r}: its task is not among tasks={','.join(self.tasks)}")
        told = "explanation" in self.tasks and self.samples_per_explanation
        if not told and not any(self._samples_of_tasks()):
            raise UserError(
                f"samples_per_user={self.samples_per_user}: tasks={','.join(self.tasks)} have nothing to train on; "
                "set one of their numbers, or samples_per_explanation, above 0"
            )
        if self.protocol == "paper" and self.exclude_history:
            raise UserError("protocol='paper' ranks the user's history too: set exclude_history=false with it")
        return self

    def _samples_of_tasks(self) -> tuple[int, ...]:
        """The entries of `samples_per_user` that the tasks draw from."""
        places = {"sequential": (0, 1), "direct": (2, 3)}
        return tuple(self.samples_per_user[place] for task in self.tasks for place in places.get(task, ()))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Self:
        """A config from settings and their values, given as text or as themselves.

        Raises:
            UserError: naming the setting, the value, the rule and the nearest valid name.
        """
        for key in settings:
            if key not in cls.model_fields:
                raise unknown_name("setting", key, cls.model_fields)
        values = {key: _parse_text(cls, key, value) for key, value in settings.items()}
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] else "settings"
            default = cls.model_fields[key].default
            missing = first["type"] == "missing"  # of a list's values, for settings have defaults
            rule = f"needs {len(default)} values" if missing else first["msg"].removeprefix("Input ")
            raise UserError(f"{key}={settings.get(key)!r}: {rule}; default: {as_text(default)}") from None

    def fingerprint(self, dataset: str, backbone: str, features: str | None) -> str:
        """The trial's identity: config, dataset, backbone and features by content, and the code.

        Of the backbone and the encoder's weights the content counts, not the name or path; of an encoder that is not of
        the paper nothing else does. `item_images` counts as far as the features depend on it.
        """
        settings = self.model_dump(mode="json", exclude={"backbone", "encoder_weights", "item_images"})
        if family_of(self.encoder) is not None:
            settings["encoder"] = "by its features"
        if not self.uses_images:  # then settings of images make no difference
            for key in ("encoder", "mapping_norm", "feature_scaling", "images", "image_start", "probe"):
                settings.pop(key)
        return fingerprint(settings, dataset, backbone, features, code_version())


class P5Config(TrialConfig):
    """The settings of a P5 stage, which makes the backbone of trials: those of a trial, and how items start."""

    image_placeholders: int = Field(3, ge=0, le=8)
    """Most placeholders in the place of an image. Half of the prompts have some, from one up to so many, so that the
    backbone knows prompts whose items lie further apart before image tokens stand between them; 0 means none, which is
    faster where no trial has images."""

    item_start: Literal["cooccurrence", "random"] = "cooccurrence"
    """How the embeddings of a built-in backbone's item and user numbers start: from which items the same users have in
    their training histories, or at random."""


def _parse_text(cls: type[BaseModel], key: str, value: Any) -> Any:
    """A value given as text: with commas for settings that are lists, `none` for those that may be None."""
    if isinstance(value, str) and isinstance(cls.model_fields[key].default, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    if value == "none" and cls.model_fields[key].default is None:
        return None
    return value


def as_text(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
