import pytest
import torch

from resnet_lab.training.schedulers import cosine, multistep


def rates(make, steps: int = 10) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_cosine_rises_linearly_and_falls_to_its_end() -> None:
    found = rates(lambda o, n: cosine(o, n, warmup=0.4, final=0.1))
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[4:] == sorted(found[4:], reverse=True)
    # Half a cosine from 1 at step 4 to 0.1 at step 10: halfway at step 7.
    assert found[4] == pytest.approx(1.0)
    assert found[7] == pytest.approx(0.55)
    assert found[9] > 0.1


def test_cosine_warmup_counts_steps_as_well() -> None:
    assert rates(lambda o, n: cosine(o, n, warmup=4)) == rates(
        lambda o, n: cosine(o, n, warmup=0.4)
    )


def test_multistep_divides_at_each_milestone() -> None:
    found = rates(lambda o, n: multistep(o, n, milestones=[0.5, 8]))
    assert found == pytest.approx([1] * 5 + [0.1] * 3 + [0.01] * 2)


def test_multistep_warms_up_at_a_constant_factor_like_resnet_110() -> None:
    found = rates(lambda o, n: multistep(o, n, milestones=[5], warmup=2, warmup_factor=0.1))
    assert found == pytest.approx([0.1, 0.1, 1, 1, 1] + [0.1] * 5)


@pytest.mark.parametrize("warmup", [-0.1, 1.5, 11])
def test_impossible_warmup_is_refused(warmup: float) -> None:
    with pytest.raises(ValueError, match=f"scheduler.warmup={warmup}"):
        rates(lambda o, n: cosine(o, n, warmup=warmup))


def test_each_parameter_group_keeps_its_own_rate() -> None:
    groups = [{"params": [torch.zeros(1)], "lr": 1.0}, {"params": [torch.zeros(1)], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    multistep(optimizer, 4, milestones=[0])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])
