"""The folder of an exported model: written whole or not at all."""

import shutil
from pathlib import Path

from ablate import atomic
from ablate.errors import OptionError
from ablate.exported.manifest import CARD, MANIFEST, WEIGHTS, Manifest


def check_out(folder: Path) -> None:
    """See that ``folder`` may become a model's, before anything is done for it.

    Raises:
        OptionError: something is there already.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OptionError(f"--out {folder}: is there and not empty; name a folder that is not, or empty it")


def write_folder(folder: Path, manifest: Manifest, weights: bytes, card: str, *, code: Path | None = None) -> None:
    """Write weights, manifest and model card.

    Args:
        folder: to be made.
        manifest: of the model.
        weights: as the bytes of a safetensors file.
        card: text of the model card.
        code: file with the code of an encoder of one's own, which is copied.

    Raises:
        OptionError: something is there already.
        DataError: the folder cannot be written.
    """
    check_out(folder)
    with atomic.folder(folder.absolute()) as scratch:
        (scratch / WEIGHTS).write_bytes(weights)
        (scratch / MANIFEST).write_text(manifest.text(), encoding="utf-8")
        (scratch / CARD).write_text(card, encoding="utf-8")
        if code is not None:
            shutil.copyfile(code, scratch / code.name)
