"""One frozen object says all about a trial; its hash is the trial's identity."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vip5core.data.candidates import CANDIDATES
from vip5core.encoders.zoo import ENCODERS
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import code_version, fingerprint
from vip5core.metrics.table import metric
from vip5core.model.adapters import SHARED
from vip5core.model.options import ModelOptions
from vip5core.prompts.sampling import SamplingOptions
from vip5core.prompts.tables import MAX_FIELD_TOKENS
from vip5core.prompts.templates import default_templates
from vip5core.training.optim import OptimOptions

Task = Literal["sequential", "direct", "explanation"]
TASKS: tuple[Task, ...] = get_args(Task)
Position = Literal["self", "cross", "feed_forward"]
Count = Annotated[int, Field(ge=0)]


class TrialConfig(BaseModel):
    """Every choice of a trial. Defaults are the paper's, but where a comment says why not.

    Unknown keys and impossible values are refused: `TrialConfig.from_settings` says which, and what would do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # what is asked
    tasks: tuple[Task, ...] = ("sequential", "direct", "explanation")
    seed: int = Field(0, ge=0)

    # pictures
    encoder: str = "ViT-B/32"
    encoder_weights: str = "openai"  # or a weights file or folder, or tiny: the built-in twins
    image_tokens: int = Field(2, ge=0, le=8)  # 0: text-only; more than 8 for 100 candidates overrun the prompt
    mapping_norm: bool = True
    feature_scaling: Literal["standard", "raw"] = "standard"  # raw is published; see FeatureStore.scaled
    # The control that tells the picture from more tokens: shuffled shows each item another item's picture.
    pictures: Literal["own", "shuffled"] = "own"

    # model
    backbone: str = "t5-small"  # of the hub, a folder, or tiny: made by the P5 stage
    tuning: Literal["adapter", "full", "frozen", "lora", "ia3"] = "adapter"
    reduction_factor: int = Field(8, ge=1)
    adapter_positions: tuple[Position, ...] = ("self", "cross", "feed_forward")
    adapter_sharing: Literal["shared", "per_task"] = "shared"
    adapter_start: Literal["identity", "published"] = "identity"  # published disturbs the backbone from step 0
    extra_embeddings: Literal["frozen", "trained"] = "frozen"
    lora_rank: int = Field(8, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)

    # training
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(36, ge=1)  # per step, over all workers
    learning_rate: float = Field(1e-3, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    decay_norms: bool = True
    clip: float = Field(5.0, gt=0)
    embedding_rate: float = Field(1.0, gt=0)  # rate of embedding tables, as a multiple of learning_rate
    adam_epsilon: float = Field(1e-8, gt=0)  # published: 1e-6
    loss: Literal["token_mean", "published"] = "token_mean"  # published divides by the length twice
    samples_per_user: tuple[Count, Count, Count, Count] = (
        5,
        5,
        5,
        5,
    )  # next item, is it next?, would it do?, choice
    train_candidates: int = Field(CANDIDATES, ge=2)  # items to choose from in training prompts
    history_window: Literal["any", "published"] = "any"  # published asks for the last three items only
    max_history: int = Field(50, ge=1)
    max_source_tokens: int = Field(1024, ge=32, le=1024)
    max_target_tokens: int = Field(64, ge=4, le=MAX_FIELD_TOKENS)
    precision: Literal["float32", "bfloat16"] = "float32"

    # evaluation
    protocol: Literal["constrained", "exact", "published"] = (
        "constrained"  # exact: no beam, every item's likelihood; slow
    )
    num_beams: int = Field(20, ge=10)  # fewer would leave HR@10 short
    exclude_history: bool = True  # published ranks what the user already has, too
    sequential_template: str = "A-3"
    direct_template: str = "B-5"
    explanation_template: str = "C-3"
    validation_users: int = Field(200, ge=1)  # a seeded sample, each epoch
    test_users: int | None = Field(None, ge=1)  # None: all
    select_by: str = "valid/loss"
    # At the end, ask what the image tokens say; see evaluation.probe. Ignored by text-only trials, so that a study of
    # pictures can have such a level.
    probe: bool = False

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if self.encoder not in ENCODERS:
            raise unknown_name("encoder", self.encoder, ENCODERS)
        if not self.tasks:
            raise UserError("tasks=(): name at least one of sequential, direct, explanation")
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
        if not self.select_by.startswith("valid/"):
            raise UserError(f"select_by={self.select_by!r}: a trial is chosen on validation, so name a valid/ metric")
        metric(self.select_by)
        if self.select_by.count("/") == 2 and self.select_by.split("/")[1] not in self.tasks:
            raise UserError(f"select_by={self.select_by!r}: that task is not among tasks={','.join(self.tasks)}")
        if "explanation" not in self.tasks and not any(self._samples_of_tasks()):
            raise UserError(
                f"samples_per_user={self.samples_per_user}: gives {','.join(self.tasks)} nothing to train on"
            )
        if self.protocol == "published" and self.exclude_history:
            raise UserError("protocol='published' ranks the user's history too: say exclude_history=false with it")
        return self

    def _samples_of_tasks(self) -> tuple[int, ...]:
        """The entries of `samples_per_user` that the tasks draw from."""
        places = {"sequential": (0, 1), "direct": (2, 3)}
        return tuple(self.samples_per_user[place] for task in self.tasks for place in places.get(task, ()))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> TrialConfig:
        """A config from keys and values, the values as text or as themselves.

        Raises:
            UserError: naming the key, the value, the rule and the nearest valid name.
        """
        for key in settings:
            if key not in cls.model_fields:
                raise unknown_name("setting", key, cls.model_fields)
        values = {key: _listed(cls, key, value) for key, value in settings.items()}
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] else "settings"
            rule = first["msg"].removeprefix("Input ")
            raise UserError(
                f"{key}={settings.get(key)!r}: {rule}; default: {cls.model_fields[key].default!r}"
            ) from None

    @property
    def uses_images(self) -> bool:
        return self.image_tokens > 0

    @property
    def model(self) -> ModelOptions:
        return ModelOptions(
            tuning=self.tuning,
            image_tokens=self.image_tokens,
            mapping_norm=self.mapping_norm,
            reduction_factor=self.reduction_factor,
            adapter_positions=self.adapter_positions,
            adapter_tasks=self.tasks if self.adapter_sharing == "per_task" else (SHARED,),
            adapter_start=self.adapter_start,
            extra_embeddings=self.extra_embeddings,
            lora_rank=self.lora_rank,
        )

    @property
    def optim(self) -> OptimOptions:
        return OptimOptions(
            self.learning_rate,
            self.warmup,
            self.weight_decay,
            self.decay_norms,
            self.clip,
            self.adam_epsilon,
            self.embedding_rate,
        )

    @property
    def sampling(self) -> SamplingOptions:
        return SamplingOptions(
            self.tasks, self.samples_per_user, self.train_candidates, self.history_window, self.max_history
        )

    def fingerprint(self, dataset: str, backbone: str, features: str | None) -> str:
        """The trial's identity: config, dataset, backbone and features by content, and the code.

        Paths and names of the backbone and the weights do not count, their content does.
        """
        settings = self.model_dump(mode="json", exclude={"backbone", "encoder_weights"})
        if not self.uses_images:  # then nothing of the pictures matters
            for key in ("encoder", "mapping_norm", "feature_scaling", "pictures", "probe"):
                settings.pop(key)
        return fingerprint(settings, dataset, backbone, features, code_version())


def _listed(cls: type[BaseModel], key: str, value: Any) -> Any:
    """Text with commas as a list, for the settings that are lists."""
    if isinstance(value, str) and isinstance(cls.model_fields[key].default, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    if value == "none" and cls.model_fields[key].default is None:
        return None
    return value
