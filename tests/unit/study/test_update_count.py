"""Updates of each arm, and the warning where they are too unlike."""

from planned_search import PLAIN_NUMBERS

from ablate.study.file import load_spec
from ablate.study.update_count import unequal, update_counts


def test_updates_are_counted_with_the_probe() -> None:
    counts = {
        each.arm: each
        for each in update_counts(load_spec(PLAIN_NUMBERS), n_train=1920)
        if each.context == {"data_fraction": 0.1}
    }
    assert (counts["ft"].fewest, counts["ft"].most) == (15, 15)
    assert (counts["lp"].fewest, counts["lp"].most) == (3 * 10, 3 * 45)


def test_a_searched_batch_size_and_number_of_epochs_give_a_span() -> None:
    overrides = ["fixed={probe_lr=1e-2}", "space.ft_epochs={low=2, high=8}", "space.batch_size={choices=[16, 64]}"]
    counts = update_counts(load_spec(PLAIN_NUMBERS, overrides=overrides), n_train=1920)
    ft = next(each for each in counts if each.arm == "ft" and each.context["data_fraction"] == 0.1)
    assert (ft.fewest, ft.most) == (3 * 2, 12 * 8)


def test_a_fixed_share_of_the_data_counts_however_it_is_written() -> None:
    shares = ["context={}", "fixed.data_fraction={choices=[0.1]}"]
    (ft, *_) = update_counts(load_spec(PLAIN_NUMBERS, overrides=shares), n_train=1920)
    assert (ft.arm, ft.most) == ("ft", 15)


def test_arms_that_differ_by_more_than_the_study_allows_are_named() -> None:
    spec = load_spec(PLAIN_NUMBERS)
    (_, little) = unequal(spec, update_counts(spec, n_train=1920))
    assert little.startswith("at data_fraction=0.1: lp")
    assert "gets up to 135 updates" in little
    assert "ft at most 15" in little
    assert "updates_ratio = 4 " in little
    wide = load_spec(PLAIN_NUMBERS, overrides=["budget.updates_ratio=10"])
    assert unequal(wide, update_counts(wide, n_train=1920)) == []
    assert "updates_ratio" not in spec.document()["budget"]
    assert wide.document()["budget"]["updates_ratio"] == 10
