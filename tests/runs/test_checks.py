import re

import pytest

from resnet_lab.runs.checking.checks import resolved

WRONG = {
    "seed=-1": "must be an integer from 0 to 4294967295, or null to draw one",
    "seed=4294967296": "must be an integer from 0 to",
    "seed=true": "must be an integer from 0 to",
    "seed=1.5": "must be an integer from 0 to",
    "seed=[0,1]": "must be an integer from 0 to",
    "monitor=null": "must be the name of one metric",
    "monitor=[a,b]": "must be the name of one metric",
    "test=true": "use last, best or null",
    "preflight=maybe": "must be true or false",
    "name=null": "must be text",
    "name=a/b": "leave out / and control characters",
    "name='a\x1b[2Jb'": "leave out / and control characters",
    "optimizer.lr=null": "must be a number >= 0",
    "optimizer.lr=-1": "must be a number >= 0",
    "optimizer.lr=nan": "must be a number >= 0",
    "optimizer.lr=[0.1]": "must be a number >= 0",
    "optimizer.momentum=89207198330648574582": "must be an integer of at most 1e+18",
    "model.replace_classifier=2": "must be true or false",
    "trainer.accumulate_grad_batches=0": "must be an integer >= 1",
    "trainer.max_epochs=0": "must be an integer >= 1",
    "trainer.max_epochs=null": "must be an integer >= 1",
    "trainer.max_epochs=0.5": "must be an integer >= 1",
    "trainer.max_epochs=-1": "would never end",
    "trainer.max_steps=0": "must be an integer >= 1",
    "trainer.limit_train_batches=0": "must be a share of the batches up to 1.0, or their number",
    "trainer.limit_val_batches=1.5": "must be a share of the batches up to 1.0, or their number",
    "trainer.limit_val_batches=0": "or their number; data.val_size=0 leaves it out",
    "trainer.limit_test_batches=0": "or their number; test=null leaves it out",
    "trainer.log_every_n_steps=-1": "must be an integer >= 0",
    "trainer.check_val_every_n_epoch=0": "must be an integer >= 1",
    "trainer.val_check_interval=0": "must be a number > 0",
    "trainer.gradient_clip_val=-1": "must be a number > 0; leave it out for none",
    "model.weights=0.5": "must be a file or the name of weights, or null",
    "trainer.precision=[a]": "must be text",
    "trainer.accelerator={a:1}": "must be text",
    "model.num_classes=-1": "data.num_classes is 10; leave it to that",
    "model.in_channels=3": "data.channels is 1; leave it to that",
    "data.image_size=0": "must be an integer >= 1, in pixels",
    "data.std=[0]": "must be numbers > 0",
    "expected=5": "must be null, or have metric, value, tolerance, source",
    "expected={metric:test/acc}": "must be null, or have metric, value, tolerance, source",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_wrong_value_is_named_with_the_way_out(override: str, composed) -> None:
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(ValueError, match=f"^{re.escape(key)}=.*: .*{re.escape(WRONG[override])}"):
        resolved(composed(override))


def test_a_length_in_steps_needs_a_schedule_in_steps(composed) -> None:
    steps = ("trainer.max_epochs=-1", "trainer.max_steps=5")
    assert resolved(composed(*steps)).trainer.max_steps == 5
    with pytest.raises(ValueError, match=r"scheduler\.interval=epoch needs a number of epochs"):
        resolved(composed(*steps, "scheduler.interval=epoch"))


def test_a_part_that_every_run_has_cannot_be_left_out(composed) -> None:
    with pytest.raises(ValueError, match=r"optimizer\._target_ has no value"):
        resolved(composed("~optimizer"))


def test_what_would_be_resolved_again_when_it_is_read_is_not_recorded(composed) -> None:
    with pytest.raises(ValueError, match=r"config\.yaml: name=.*holds no"):
        resolved(composed(r"name='\${seed}'"))


def test_an_expected_value_is_a_number(composed) -> None:
    expected = "expected={metric:test/acc,value:high,tolerance:0.1,source:paper}"
    with pytest.raises(ValueError, match=r"^expected\.value=high: must be a number$"):
        resolved(composed(expected))


@pytest.mark.parametrize("seed", ["null", "0", "4294967295"])
def test_any_seed_that_can_be_is_taken(seed: str, composed) -> None:
    found = resolved(composed(f"seed={seed}")).seed
    assert seed == "null" or found == int(seed)
