"""A routine of one's own, complete: `entry = "docs/own_routine.py:train"` in a study file. It wraps train_bands.py."""

from train_bands import Config, Model


def train(params, records, seed, progress):
    config = Config(**params, seed=seed)

    def after_epoch(model, epoch, loss):
        progress(epoch, config.epochs, val=model.predict(records.val.signals), loss=loss)

    model = Model(config).fit(records.train.signals, records.train.labels, after_epoch)
    return {name: model.predict(part.signals) for name, part in records.scored.items()}
