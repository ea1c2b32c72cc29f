from ablate.store.result import CLASS_COLUMNS, EPOCH_COLUMNS, columns_of

EPOCHS = [{"stage": "probe", "epoch": 1, "val_auroc": 0.5}, {"stage": "probe", "epoch": 2, "seconds": 1.0, "other": 3}]


def test_tables_become_columns_and_the_rest_is_kept() -> None:
    document = {
        "scores": {"val_auroc": 0.5},
        "epochs": EPOCHS,
        "class_scores": {"val": {"MI": (0.1, 0.2)}, "test": {"MI": (0.3, 0.4)}},
        "digests": {"data": "d"},
        "notes": ["smaller micro-batch"],
        "n_train": 10,
    }
    columns = columns_of(document)
    assert tuple(columns["epochs"]) == EPOCH_COLUMNS
    assert columns["epochs"]["epoch"] == [1, 2]
    assert columns["epochs"]["seconds"] == [None, 1.0]
    assert tuple(columns["class_scores"]) == CLASS_COLUMNS
    assert columns["class_scores"]["split"] == ["val", "test"]
    assert columns["class_scores"]["auprc"] == [0.2, 0.4]
    assert columns["facts"] == {"notes": ["smaller micro-batch"], "n_train": 10}
    assert columns["seconds"] == {}


def test_an_empty_document_has_all_columns() -> None:
    columns = columns_of({})
    assert all(columns["epochs"][name] == [] for name in EPOCH_COLUMNS)
    assert all(columns["class_scores"][name] == [] for name in CLASS_COLUMNS)
