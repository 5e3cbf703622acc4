import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from resnet_lab.sweeps.grid import combinations

GRIDS = {
    ("lr=0.1,0.05", "seed=0,1"): [
        ["lr=0.1", "seed=0"],
        ["lr=0.1", "seed=1"],
        ["lr=0.05", "seed=0"],
        ["lr=0.05", "seed=1"],
    ],
    ("a=1",): [["a=1"]],
    (): [[]],
    ("seed=range(3)",): [["seed=0"], ["seed=1"], ["seed=2"]],
    ("+a=choice(x,[y,z])", "~b"): [["+a=x", "~b=null"], ["+a=[y,z]", "~b=null"]],
    ("a='b c','d'",): [["a='b c'"], ["a='d'"]],
    ("a=1,2", "b=5", "a=3"): [["a=3", "b=5"]],  # the last one counts, at the place of the first
    ("a@p=x,y", "++c={d: 1}"): [["a@p=x", "++c={d:1}"], ["a@p=y", "++c={d:1}"]],
}


@pytest.mark.parametrize("typed", GRIDS, ids=" ".join)
def test_grid_tries_all_combinations_in_order(typed: tuple[str, ...]) -> None:
    overrides = OverridesParser.create().parse_overrides(list(typed))
    assert combinations(overrides) == GRIDS[typed]


@pytest.mark.parametrize("typed", ["lr=interval(0,1)", "seed=range(3,3)"])
def test_grid_refuses_what_it_cannot_try(typed: str) -> None:
    with pytest.raises(ValueError, match=r"cannot try every number|no value to try"):
        combinations(OverridesParser.create().parse_overrides([typed]))


def parsed(*typed: str) -> list:
    return OverridesParser.create().parse_overrides(list(typed))


def test_zipped_values_go_together_and_the_rest_is_crossed() -> None:
    typed = parsed("seed=0,1", "+model.depth=20,56", "trainer.max_epochs=10,20")
    keys = ["model.depth", "trainer.max_epochs"]
    expected = [
        ["seed=0", "+model.depth=20", "trainer.max_epochs=10"],
        ["seed=0", "+model.depth=56", "trainer.max_epochs=20"],
        ["seed=1", "+model.depth=20", "trainer.max_epochs=10"],
        ["seed=1", "+model.depth=56", "trainer.max_epochs=20"],
    ]
    assert combinations(typed, keys) == expected
    assert combinations(typed, [keys]) == expected


def test_two_groups_of_zipped_values_are_crossed() -> None:
    jobs = combinations(parsed("a=1,2", "b=3,4", "c=5,6", "d=7,8"), [["a", "b"], ["c", "d"]])
    assert [" ".join(job) for job in jobs] == [
        "a=1 b=3 c=5 d=7", "a=1 b=3 c=6 d=8", "a=2 b=4 c=5 d=7", "a=2 b=4 c=6 d=8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zipped", "message"),
    [
        (["a", "b"], r"differ in how many values they have: a has 2, b has 3$"),
        (["a", "nope"], r"nope has no values of its own here; give them, as in nope=1,2"),
        ([["a", "c"], ["c", "d"]], r"c has no values of its own here"),
        (["a"], r"hydra.sweeper.zip=\['a'\]: must be a list of two keys or more"),
        ("a", r"hydra.sweeper.zip=a: must be a list"),
    ],
)
def test_values_that_cannot_be_zipped(zipped: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combinations(parsed("a=1,2", "b=1,2,3", "c=1,2", "d=1,2"), zipped)


def test_jobs_from_a_file_are_crossed_with_the_grid(tmp_path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(
        "- {model.depth: 20, name: 'a, b', data.mean: [0.5, null]}\n- [model=resnet9, +x=true]\n"
    )
    jobs = combinations(parsed("seed=0,1"), jobs=str(path))
    first = ["model.depth=20", "name='a, b'", "data.mean=[0.5,null]"]
    second = ["model=resnet9", "+x=true"]
    assert jobs == [[*job, f"seed={seed}"] for job in (first, second) for seed in (0, 1)]
    values = [override.value() for override in parsed(*first)]
    assert values == [20, "a, b", [0.5, None]]  # Hydra reads what the file says


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: 1}", "must be a list of jobs"),
        ("", "must be a list of jobs"),
        ("- 5", "job 1 must be a mapping"),
        ("- {a: 1}\n- [b]", "job 2 must be a mapping"),
        ("a: [", "is no YAML file"),
        ("- {seed: 3}", "hydra.sweeper.jobs and the command line both set seed"),
    ],
)
def test_a_file_that_is_no_list_of_jobs(text: str, message: str, tmp_path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        combinations(parsed("seed=0,1"), jobs=str(path))
    with pytest.raises(ValueError, match=r"nowhere.yaml: no such file"):
        combinations(parsed("seed=0,1"), jobs="nowhere.yaml")
