from __future__ import annotations

import pytest
from vip5platform.declarations import Factor, Range, Search, Study, choice, factor
from vip5platform.options import Options
from vip5platform.study.plan import InputRequest, feature_choices, plan_search, plan_trials

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


def test_seeds_are_no_factor():
    with pytest.raises(UserError, match="not a factor"):
        plan_trials(Study("s", "Which?", (factor("seed", "1"),)), Options())


def test_what_trials_stand_on_may_be_a_factor_each_backbone_with_its_own_settings():
    study = Study("s", "Which?", (factor("backbone", "tiny", "t5-small"), factor("ids", "random", "sequential")))
    planned = plan_trials(study, Options())
    assert [t.request for t in planned] == [
        InputRequest("minimart", ids, backbone) for backbone in ("tiny", "t5-small") for ids in ("random", "sequential")
    ]
    assert [t.config.batch_size for t in planned] == [72, 72, 36, 36]
    assert {t.config.backbone for t in planned} == {"tiny", "t5-small"}


@pytest.mark.parametrize(("key", "given"), [("dataset", "pinterest"), ("ids", "sequential"), ("backbone", "mini")])
def test_an_option_for_what_the_study_varies_is_refused(key, given):
    with pytest.raises(UserError, match=f"--{key} {given}: s varies {key} itself"):
        plan_trials(Study("s", "Which?", (factor(key, "a", "b"),)), Options(**{key: given}))


def test_levels_can_be_chosen_and_for_a_plain_setting_added():
    study = Study("s", "Which?", (factor("reduction_factor", 2, 4, 8),))
    planned = plan_trials(study, Options(levels=(("reduction_factor", ("8", "64")),)))
    assert [(t.name, t.config.reduction_factor) for t in planned] == [("8", 8), ("64", 64)]


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        (("prompt", ("text",)), "unknown factor 'prompt': did you mean 'prompts'"),
        (("prompts", ("texts",)), "unknown level of prompts 'texts': did you mean 'text'"),
        (("prompts", ("text", "text")), "name each level once"),
    ],
)
def test_levels_that_cannot_be_are_refused(levels, says):
    study = Study("s", "Which?", (Factor("prompts", {"text": {"image_tokens": 0}, "both": {}}),))
    with pytest.raises(UserError, match=says):
        plan_trials(study, Options(levels=(levels,)))


def test_cells_that_are_left_out_are_no_trials():
    study = Study(
        "s",
        "Which?",
        (factor("ids", "a", "b"), factor("image_tokens", 0, 2)),
        leave_out=({"ids": "a", "image_tokens": "0"},),
    )
    assert [tuple(cell.values()) for cell in study.cells()] == [("a", "2"), ("b", "0"), ("b", "2")]


SPACE = {"encoder": choice("RN50", "ViT-B/32"), "learning_rate": Range(1e-3, 1e-1, log=True)}


def test_a_search_is_checked_at_every_value_before_it_starts():
    plan = plan_search(Search("s", "Which?", SPACE), Options())
    assert [choice.encoder.name for choice in plan.features] == ["RN50", "ViT-B/32"]
    pictures = Search("s", "Which?", {**SPACE, "item_images": choice("first", "mean")})
    assert [(one.encoder.name, one.item_images) for one in plan_search(pictures, Options()).features] == [
        (name, which) for name in ("RN50", "ViT-B/32") for which in ("first", "mean")
    ]
    assert plan.config({"encoder": "ViT-B/32", "learning_rate": 0.5}).learning_rate == 0.5


@pytest.mark.parametrize(
    ("space", "options", "says"),
    [
        ({"encoder": choice("RN50", "RN5")}, Options(), "unknown encoder 'RN5'"),
        ({"dropout": Range(0.0, 1.0)}, Options(), "dropout=1.0"),
        ({"dropot": Range(0.0, 0.5)}, Options(), "did you mean 'dropout'"),
        ({"seed": choice(1, 2)}, Options(), "unknown searched setting 'seed'"),
        (SPACE, Options(settings=(("encoder", "RN50"),)), "varies encoder itself"),
        (SPACE, Options(trials=0), "--trials 0: must be at least 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(space, options, says):
    with pytest.raises(UserError, match=says):
        plan_search(Search("s", "Which?", space), options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(seeds=0), "--seeds 0"),
        (Options(p5_epochs=0), "--p5-epochs 0"),
        (Options(epochs=3, settings=(("epochs", "4"),)), "give only one of them"),
    ],
)
def test_impossible_options_are_refused(options, says):
    with pytest.raises(UserError, match=says):
        plan_trials(ENCODERS, options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(backbone="p5:"), "--backbone 'p5:': name the T5 that is to be trained, such as p5:t5-small"),
        (Options(p5_settings=(("epochs", "0"),)), "--p5-set: epochs='0': should be greater than or equal to 1"),
        (Options(p5_settings=(("item_strat", "random"),)), "unknown setting 'item_strat': did you mean 'item_start'"),
        (Options(p5_settings=(("item_start", "best"),)), "item_start='best': should be 'cooccurrence' or 'random'"),
        (Options(p5_settings=(("image_tokens", "2"),)), "image_tokens=2: a P5 stage trains the whole T5 on text alone"),
        (Options(p5_settings=(("tuning", "lora"),)), "tuning=lora: a P5 stage trains the whole T5 on text alone"),
        (Options(p5_settings=(("reduction_factor", "4"),)), "reduction_factor=4: has no effect on a P5 stage"),
        (Options(p5_settings=(("backbone", "mini"),)), "use --backbone p5:mini instead"),
        (Options(p5_epochs=3, p5_settings=(("epochs", "4"),)), "--p5-epochs 3 and --p5-set epochs=4: give only one"),
        (Options(backbone="t5-small", p5_epochs=3), "--p5-epochs 3: no backbone of this study has a P5 stage"),
        (Options(backbone="t5-small", p5_settings=(("seed", "1"),)), "--p5-set: no backbone of this study has a P5"),
        (
            Options(backbone="p5:t5-small", p5_settings=(("item_start", "cooccurrence"),)),
            "item_start=cooccurrence: 't5-small' is pretrained",
        ),
    ],
)
def test_impossible_settings_of_a_p5_stage_are_refused_in_one_line(options, says):
    with pytest.raises(UserError) as caught:
        plan_trials(Study("s", "Which?", (factor("image_tokens", 0),)), options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_backbone_as_it_is_and_after_its_p5_stage_are_levels():
    study = Study("s", "Which?", (factor("backbone", "tiny"),), {"image_tokens": 0})
    levels = (("backbone", ("t5-small", "p5:t5-small", "p5:tiny", "mini")),)
    options = Options(levels=levels, p5_settings=(("epochs", "8"), ("max_samples", "50000"), ("seed", "1")))
    planned = plan_trials(study, options)
    assert [trial.name for trial in planned] == ["t5-small", "p5:t5-small", "p5:tiny", "mini"]
    assert [trial.request.backbone for trial in planned] == ["t5-small", "p5:t5-small", "tiny", "mini"]
    assert planned[2].config == plan_trials(study, Options(levels=(("backbone", ("tiny",)),)))[0].config
    assert Options(backbone="p5:tiny").backbone_name == Options().backbone_name == "tiny"


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
        ({"encoder_weights": "/nowhere"}, "must be openai, tiny, provided, a weights file"),
        ({"select_by": "test/sequential/ndcg_at_10"}, "name a valid/ metric"),
        ({"select_by": "valid/nonsense"}, "unknown metric"),
        ({"select_by": "valid/direct/ndcg_at_10", "tasks": "sequential"}, "not among tasks=sequential"),
        ({"tasks": "sequential", "samples_per_user": "0,0,5,5"}, "nothing to train on"),
        ({"protocol": "paper"}, "set exclude_history=false"),
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
    assert [choice.encoder.name for choice in feature_choices([t.config for t in plan_trials(study, Options())])] == [
        "ViT-B/32"
    ]


def test_ids_of_pictures_take_the_encoder_of_the_study_unless_they_name_one() -> None:
    ids = factor("ids", "random", "semantic:image", "semantic:image@RN50=tiny", "semantic:text")
    study = Study("s", "Which ids?", (ids,), {"encoder": "RN101", "encoder_weights": "tiny"})
    found = [trial.request.ids for trial in plan_trials(study, Options(backbone="tiny"))]
    assert found == ["random", "semantic:image@RN101=tiny", "semantic:image@RN50=tiny", "semantic:text"]
    assert [trial.cell["ids"] for trial in plan_trials(study, Options(backbone="tiny"))] == list(ids.levels)


@pytest.mark.parametrize(
    ("ids", "message"),
    [("semantic:foo", "unknown id scheme 'semantic:foo': did you mean"), ("random@RN50", "random reads no content")],
)
def test_ids_that_no_scheme_makes_are_refused_before_anything_is_prepared(ids: str, message: str) -> None:
    study = Study("s", "Which?", (factor("image_tokens", 0),))
    with pytest.raises(UserError, match=message):
        plan_trials(study, Options(ids=ids))
