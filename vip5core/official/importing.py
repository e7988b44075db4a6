"""Import a checkpoint of the official code as a backbone folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedTokenizerBase, T5Tokenizer

from vip5core.errors import UserError, first_line
from vip5core.model import Backbone, save_backbone
from vip5core.official.convert import convert
from vip5core.official.identity import tokenizer_beside
from vip5core.official.read import read_state
from vip5core.prompts import load_tokenizer

#: The T5 on the hub from which a model of this width was made; its tokenizer is that of the checkpoint.
_HUB = {512: "t5-small", 768: "t5-base", 1024: "t5-large"}


def import_checkpoint(file: Path, target: Path, find_on_hub: Callable[[str], Path]) -> Path:
    """Write the backbone folder of a checkpoint, completely or not at all.

    Args:
        file: A state dict of an official P5 or VIP5.
        target: The folder to write.
        find_on_hub: Gives the folder of a T5 of the hub, for its tokenizer, if none lies beside the checkpoint.

    Returns:
        `target`.

    Raises:
        UserError: if the file is no such state dict, or there is no tokenizer for it.
    """
    official = convert(read_state(file), str(file))
    tokenizer = _tokenizer(file, official.config.d_model, find_on_hub)
    if len(tokenizer) > official.config.vocab_size:
        raise UserError(
            f"{str(file)!r} has embeddings of {official.config.vocab_size} tokens ('shared.weight'), but its tokenizer "
            f"knows {len(tokenizer)}: put the tokenizer.json that belongs to it into {str(file.parent)!r}"
        )
    adapters = official.adapters or None
    return save_backbone(Backbone(official.build_t5(), tokenizer, official.extra_embeddings, adapters), target)


def _tokenizer(file: Path, width: int, find_on_hub: Callable[[str], Path]) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside a checkpoint, or else that of the T5 from which it was made.

    Raises:
        UserError: if neither can be read.
    """
    way_out = f"put the tokenizer.json of its T5 into {str(file.parent)!r}"
    if tokenizer_beside(file):
        try:
            return T5Tokenizer.from_pretrained(file.parent)
        except Exception as error:
            raise UserError(
                f"the tokenizer beside {str(file)!r} cannot be read ({first_line(error)}): {way_out}"
            ) from None
    if width not in _HUB:
        raise UserError(
            f"{str(file)!r} has no tokenizer, none lies beside it, and no T5 of the hub is {width} wide: {way_out}"
        )
    try:
        return load_tokenizer(find_on_hub(_HUB[width]))
    except UserError:
        raise UserError(
            f"{str(file)!r} has no tokenizer, none lies beside it, and that of {_HUB[width]} cannot be downloaded from "
            f"the hub: {way_out}"
        ) from None
