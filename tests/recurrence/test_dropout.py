import torch

from unrolled.recurrence.dropout import TimeDropout


def dropped(dropout: TimeDropout) -> torch.Tensor:
    y = dropout(torch.ones(9, 4, 200))
    assert isinstance(y, torch.Tensor)
    return y


def test_a_locked_mask_is_the_same_at_all_times_and_new_for_each_chunk() -> None:
    torch.manual_seed(0)
    dropout = TimeDropout(0.4, locked=True)
    first, second = dropped(dropout), dropped(dropout)
    assert torch.equal(first, first[:1].expand_as(first))
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0, 0], first[0, 1])


def test_an_unlocked_mask_changes_from_step_to_step() -> None:
    torch.manual_seed(0)
    y = dropped(TimeDropout(0.4))
    assert not torch.equal(y[0], y[1])


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    for locked in (False, True):
        y = TimeDropout(0.4, locked=locked)(torch.ones(1, 100, 1000))
        assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
        assert abs(float(y.mean()) - 1) < 0.02


def test_evaluation_and_a_rate_of_zero_leave_everything() -> None:
    x = torch.randn(3, 2, 5)
    for locked in (False, True):
        assert torch.equal(TimeDropout(0.9, locked=locked).eval()(x), x)
        assert torch.equal(TimeDropout(0.0, locked=locked)(x), x)


def test_the_gradient_passes_through_the_same_mask() -> None:
    x = torch.ones(5, 2, 50, requires_grad=True)
    y = TimeDropout(0.5, locked=True)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y.detach())
