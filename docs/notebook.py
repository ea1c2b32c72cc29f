"""Writes docs/notebook.ipynb: a small study, run and looked at from Python. `python docs/notebook.py`."""

import ast
import html
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

PAGE = Path(__file__).resolve().with_suffix(".ipynb")
STUDY = """question = "Does a probe before fine-tuning help, with a quarter of the labels?"
data = { source = "synthetic", task = "superdiagnostic", n_records = 1200 }
encoder = { name = "net1d_small", weights = "synthetic" }
fixed = { ft_epochs = 3, batch_size = 32 }
context = { data_fraction = [0.25] }
budget = { search_trials = 6, replicates = 6 }

[space]
probe_epochs = { low = 0, high = 20 }
ft_lr = { low = 1e-4, high = 1e-2, log = true }

[arms.ft]
probe_epochs = 0

[arms.lp]
probe_epochs = { low = 5, high = 20 }
"""
# Words for people begin with a sharp; the rest is run.
CELLS = (
    "# # A study in a notebook\n#\n"
    "# Written by `python docs/notebook.py`, which has run these cells: a small study on simulated records, so that it "
    "takes\n# a minute on two cores. Its answer is a fact about that cohort.",
    'import ablate\n\nstudy = ablate.run("probe_small", workers=2)\nstudy',
    "# The same again goes on where it stopped, and is done at once where nothing is left. Tables are data frames:",
    "study.arms.round(4)",
    'study.contrasts[["contrast", "metric", "difference", "simultaneous_low", "verdict"]].round(4)',
    'study.verdicts[["contrast", "outcome", "lacks"]]',
    'study.trials[["key", "state", "val_auroc", "test_auroc", "param_ft_lr", "seconds"]].tail(4).round(4)',
    "# Figures are plotly's:",
    "study.figures.forest()",
    "study.figures.blocks(data_fraction=0.25)",
)


def notebook(cells: tuple[str, ...] = CELLS) -> dict[str, Any]:
    """The cells with what they gave, in Jupyter's format 4.5; run in this process, in the folder that it is in."""
    names: dict[str, Any] = {}
    made = [_cell(k, text, names) for k, text in enumerate(cells)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _cell(k: int, text: str, names: dict[str, Any]) -> dict[str, Any]:
    if text.startswith("#"):
        words = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
        return {"id": f"cell-{k}", "cell_type": "markdown", "metadata": {}, "source": words}
    value = _value(text, names)
    given = [] if value is None else [_output(value, k)]
    return {
        "id": f"cell-{k}",
        "cell_type": "code",
        "execution_count": k,
        "metadata": {},
        "outputs": given,
        "source": text,
    }


def _value(text: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last expression."""
    *before, last = ast.parse(text).body
    exec(compile(ast.Module(before, []), "cell", "exec"), names)  # noqa: S102 - our own cells
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307 - likewise
    exec(compile(ast.Module([last], []), "cell", "exec"), names)  # noqa: S102 - likewise
    return None


def _output(value: Any, k: int) -> dict[str, Any]:
    """What Jupyter shows of a value; a figure by its data, which the viewer draws."""
    if isinstance(value, go.Figure):
        shown = {"application/vnd.plotly.v1+json": json.loads(value.to_json()), "text/plain": "Figure"}
    else:
        text = value.to_string() if isinstance(value, pd.DataFrame) else repr(value)
        rich = value._repr_html_() if hasattr(value, "_repr_html_") else f"<pre>{html.escape(text)}</pre>"
        shown = {"text/html": rich, "text/plain": text}
    return {"output_type": "execute_result", "execution_count": k, "metadata": {}, "data": shown}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "studies").mkdir()
        (Path(folder) / "studies" / "probe_small.toml").write_text(STUDY, encoding="utf-8")
        os.chdir(folder)
        os.environ["ABLATE_HOME"] = str(Path(folder) / "home")
        made = notebook()
        from ablate.store.postgres_server import Server

        Server(Path(folder) / "home" / "postgres").stop()
        os.chdir("/")
    PAGE.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
