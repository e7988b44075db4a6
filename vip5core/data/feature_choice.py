"""What the features of a dataset's items are made with: an encoder, and what of an item's pictures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from vip5core.config import ImageOptions
from vip5core.data.dataset import Dataset
from vip5core.encoders import EncoderChoice
from vip5core.vocabulary import ItemImages


@dataclass(frozen=True)
class FeatureChoice:
    """With a dataset, what a feature store is made of.

    Attributes:
        encoder: the encoder with its weights.
        item_images: the picture or pictures whose features make that of an item; see `ImageOptions.item_images`.
    """

    encoder: EncoderChoice
    item_images: ItemImages = "first"

    @classmethod
    def of(cls, config: ImageOptions) -> FeatureChoice:
        """The choice of a trial's settings."""
        return cls(EncoderChoice(config.encoder, config.encoder_weights), config.item_images)

    def on(self, dataset: Dataset) -> FeatureChoice:
        """The choice with `first` where anything else would make the same features of this dataset: features that are
        given, or items with one picture each."""
        if self.encoder.needs_images and dataset.has_further_images:
            return self
        return dataclasses.replace(self, item_images="first")
