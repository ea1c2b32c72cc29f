"""Fetching ECGFounder's checkpoints from the Hugging Face hub, or from its cache when there is no network."""

from pathlib import Path

from ablate.errors import CheckpointError

REPOSITORY = "PKUDigitalHealth/ECGFounder"
FILES = {"ecgfounder": "12_lead_ECGFounder.pth", "ecgfounder_1lead": "1_lead_ECGFounder.pth"}


def fetch(name: str, *, cache_dir: Path | None = None) -> Path:
    """The checkpoint in the hub's cache, downloaded if it is not there yet.

    Args:
        name: an encoder of ``FILES``.
        cache_dir: by default the hub's own (``HF_HUB_CACHE``).

    Raises:
        CheckpointError: the extra is not installed, nothing of that name can be fetched, or there is neither network
            nor a cached copy.
    """
    if name not in FILES:
        raise CheckpointError(f"{name!r} cannot be fetched; expected one of {', '.join(FILES)}")
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 an extra
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise CheckpointError("fetching needs the extra 'hub'; run pip install 'ablate-ecg[hub]'") from error
    try:
        return Path(hf_hub_download(REPOSITORY, FILES[name], cache_dir=cache_dir))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{FILES[name]} is not in the hub's cache and huggingface.co cannot be reached; connect, unset "
            "HF_HUB_OFFLINE, or copy the file here and name it as encoder.weights"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{REPOSITORY}: {FILES[name]} cannot be fetched ({reason}); try again later") from error
