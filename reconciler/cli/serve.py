"""`emulator`: the AEP API on a socket, to try things out and to test other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli.console import Console
from reconciler.cli.parameters import FILE, GIVEN_FILE, TEXT, Whole
from reconciler.core.errors import ExitCode, SettingsInvalid

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--port", type=Whole(0, 65535), default=8080, show_default=True, help="0 picks a free one.")
@click.option("--data", type=FILE, metavar="FILE", help="Keep everything in this file.")
@click.option("--faults", type=GIVEN_FILE, metavar="FILE", help="Fault rules, as JSON.")
@click.option(
    "--dataset",
    "datasets",
    type=TEXT,
    multiple=True,
    metavar="ID",
    help="A dataset that exists. Repeatable; none: any.",
)
def emulator(port: int, data: Path | None, faults: Path | None, datasets: tuple[str, ...]) -> int:
    """Serve the AEP API on loopback until interrupted."""
    from sqlite3 import Error

    from reconciler.connect import check_data
    from reconciler.emulator import FaultsInvalid
    from reconciler.emulator.server import run_server

    try:
        if data is not None:
            check_data(data)
        run_server(port=port, data=data, faults=faults, datasets=datasets, ready=_ready)
    except ModuleNotFoundError as error:
        raise SettingsInvalid(
            "the emulator on a socket needs uvicorn", hint="install it with `pip install 'aep-reconciler[emulator]'`"
        ) from error
    except FaultsInvalid as error:
        raise SettingsInvalid(
            f"`{faults}`: {error}", hint="the form is described in `reconciler/emulator/faultfile.py`"
        ) from error
    except (ValueError, Error) as error:
        raise SettingsInvalid(
            f"`{data}` holds no data of an emulator: {error}", hint="choose another file with `--data`, or remove it"
        ) from error
    except OSError as error:
        if error.filename is not None:
            raise SettingsInvalid(
                f"cannot use `{error.filename}`: {error.strerror or error}", hint="choose another file"
            ) from error
        raise SettingsInvalid(
            f"cannot serve on port {port}: {error.strerror or error}", hint="choose another one, or 0 for a free one"
        ) from error
    return ExitCode.OK


def _ready(port: int) -> None:
    Console().out(f"{name}=http://127.0.0.1:{port}" for name in ("AEP_API_URL", "AEP_IMS_URL"))
