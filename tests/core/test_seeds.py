from resnet_lab.core.seeds import derive_seed


def test_derived_seeds_do_not_collide_between_neighbours() -> None:
    seeds = {derive_seed(a, b, c) for a in range(10) for b in range(10) for c in range(100)}
    assert len(seeds) == 10_000
    assert derive_seed(1, 0) != derive_seed(0, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)
