from __future__ import annotations

import pytest
from vip5platform.plan import Options, encoders_of, plan_trials
from vip5platform.study import Factor, Study, factor

from vip5core.errors import UserError

ENCODERS = Study("s", "Which?", (factor("encoder", "RN50", "ViT-B/32"),))


def test_the_cells_of_several_factors_are_all_their_combinations():
    study = Study(
        "s", "Which?", (factor("reduction_factor", 2, 4), Factor("prompts", {"text": {"image_tokens": 0}, "both": {}}))
    )
    assert study.cells() == [
        {"reduction_factor": "2", "prompts": "text"},
        {"reduction_factor": "2", "prompts": "both"},
        {"reduction_factor": "4", "prompts": "text"},
        {"reduction_factor": "4", "prompts": "both"},
    ]
    assert study.settings_of(study.cells()[0]) == {"reduction_factor": 2, "image_tokens": 0}


def test_the_users_settings_go_before_the_studys():
    study = Study("s", "Which?", (factor("encoder", "RN50"),), {"dropout": 0.3, "num_beams": 30})
    config = plan_trials(study, Options(settings=(("dropout", "0.1"),)))[0].config
    assert (config.dropout, config.num_beams) == (0.1, 30)


@pytest.mark.parametrize("key", ["backbone", "seed"])
def test_what_the_command_line_owns_is_no_factor(key):
    with pytest.raises(UserError, match="not a factor"):
        plan_trials(Study("s", "Which?", (factor(key, "1"),)), Options())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(seeds=0), "--seeds 0"),
        (Options(p5_epochs=0), "--p5-epochs 0"),
        (Options(epochs=3, settings=(("epochs", "4"),)), "say it once"),
    ],
)
def test_impossible_options_are_refused(options, says):
    with pytest.raises(UserError, match=says):
        plan_trials(ENCODERS, options)


def test_every_cell_is_planned_with_every_seed():
    planned = plan_trials(ENCODERS, Options(seeds=3))
    assert [(t.cell["encoder"], t.config.encoder, t.config.seed) for t in planned] == [
        (name, name, seed) for name in ("RN50", "ViT-B/32") for seed in range(3)
    ]


def test_the_tiny_backbone_comes_with_small_settings_and_others_with_the_papers():
    tiny = plan_trials(ENCODERS, Options())[0].config
    paper = plan_trials(ENCODERS, Options(backbone="t5-small"))[0].config
    assert (tiny.encoder_weights, paper.encoder_weights) == ("tiny", "openai")
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.train_candidates) == (20, 36, 1e-3, 100)
    assert tiny.epochs < paper.epochs


def test_what_the_user_sets_goes_before_the_small_settings():
    config = plan_trials(ENCODERS, Options(settings=(("epochs", "7"), ("dropout", "0.2"))))[0].config
    assert (config.epochs, config.dropout) == (7, 0.2)
    assert plan_trials(ENCODERS, Options(epochs=9))[0].config.epochs == 9


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"reduction_facter": "8"}, "did you mean 'reduction_factor'"),
        ({"reduction_factor": "0"}, "reduction_factor='0': should be greater than or equal to 1"),
        ({"image_tokens": "-1"}, "image_tokens='-1': should be greater than or equal to 0"),
        ({"image_tokens": "many"}, "image_tokens='many'"),
        ({"encoder": "RN101"}, "varies encoder itself"),
        ({"seed": "3"}, "use --seeds instead"),
        ({"backbone": "t5-base"}, "use --backbone instead"),
        ({"encoder_weights": "/nowhere"}, "must be openai, tiny, published, a weights file"),
        ({"select_by": "test/sequential/ndcg_at_10"}, "name a valid/ metric"),
        ({"select_by": "valid/nonsense"}, "unknown metric"),
        ({"select_by": "valid/direct/ndcg_at_10", "tasks": "sequential"}, "not among tasks=sequential"),
        ({"tasks": "sequential", "samples_per_user": "0,0,5,5"}, "nothing to train on"),
        ({"protocol": "published"}, "say exclude_history=false"),
        ({"explanation_template": "C-7"}, "unknown explanation_template 'C-7'"),
        ({"num_beams": "5"}, "num_beams='5'"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_says_what_would_do(settings, says):
    with pytest.raises(UserError) as caught:
        plan_trials(ENCODERS, Options(settings=tuple(settings.items())))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_encoder_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="unknown encoder 'ViT-B/23': did you mean 'ViT-B/32'"):
        plan_trials(Study("s", "Which?", (factor("encoder", "ViT-B/23"),)), Options())


def test_text_only_trials_need_no_encoder():
    study = Study("s", "Which?", (factor("image_tokens", 0, 2),))
    assert [choice.name for choice in encoders_of([t.config for t in plan_trials(study, Options())])] == ["ViT-B/32"]
