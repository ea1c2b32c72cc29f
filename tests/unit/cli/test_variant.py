"""What makes a study another than its file."""

from ablate.cli.variant import changed_keys, variant_title


def test_a_table_that_became_one_value_is_one_changed_key() -> None:
    before = {"budget": {"search_trials": {"first": 8, "most": 20}, "replicates": 5}, "question": "a"}
    after = {"budget": {"search_trials": 8, "replicates": 5}, "question": "b"}
    table = {"first": 8, "most": 20}
    assert changed_keys(before, after) == {"budget.search_trials": (table, 8)}
    assert changed_keys(after, before) == {"budget.search_trials": (8, table)}
    assert changed_keys(before, {}) == {
        "budget.search_trials.first": (8, None),
        "budget.search_trials.most": (20, None),
        "budget.replicates": (5, None),
    }


def test_a_title_has_values_as_a_person_writes_them() -> None:
    whole = {"low": 2, "high": 2, "log": False, "int": True}
    changed = {"fixed.ft_epochs": (whole | {"low": 5, "high": 5}, whole), "budget.replicates": (5, 3)}
    assert variant_title("s@1a2b3c", changed) == "s@1a2b3c · ft_epochs=2 · replicates=3"
