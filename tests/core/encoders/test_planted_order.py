"""The tiny encoders see better in the order of the table: what a study of encoders on minimart should find."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from vip5core.data.readers.minimart.reader import generate_shop
from vip5core.encoders import EncoderChoice, Preparation, load_encoder
from vip5core.evaluation.probe import LOOKS
from vip5core.vocabulary import ENCODERS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_what_can_be_read_off_the_features_of_another_shop_grows_in_the_order_of_the_table() -> None:
    shop = generate_shop(users=1200, seed=11).details(None)
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in shop.items["image"]]
    accuracy = pd.Series({name: look_read_off(name, pictures, shop.truth["items"]) for name in ENCODERS})
    assert accuracy.diff().dropna().min() > 0.02, accuracy
    assert accuracy["RN50"] > 0.3, accuracy  # one in eight colours, four patterns and six shapes would be .18


def look_read_off(encoder: str, pictures: list[Image.Image], looks: pd.DataFrame) -> float:
    """The share of colours, patterns and shapes that a linear classifier predicts for items that it has not seen.

    The features are scaled as the mapping network reads them, by one number: what varies little is hard to read.
    """
    choice = EncoderChoice(encoder)
    prepare = Preparation.of(choice)
    features = load_encoder(choice).encode(np.stack([prepare(picture) for picture in pictures]))
    features = features - features.mean(axis=0)
    features /= np.sqrt(np.mean(features**2))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    right = [
        cross_val_predict(LogisticRegression(max_iter=200), features, looks[name], cv=folds) == looks[name]
        for name in LOOKS
    ]
    return float(np.mean(right))
