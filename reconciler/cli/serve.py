"""`emulator`: the AEP API on a socket, to try things out and to test other programs."""

from __future__ import annotations

from pathlib import Path

import click

from reconciler.core.errors import ExitCode, SettingsInvalid


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks a free one.")
@click.option("--data", type=click.Path(dir_okay=False, path_type=Path), help="Keep everything in this file.")
@click.option("--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Fault rules, as JSON.")
@click.option(
    "--dataset", "datasets", multiple=True, metavar="ID", help="A dataset that exists. Repeatable; none: any."
)
def emulator(port: int, data: Path | None, faults: Path | None, datasets: tuple[str, ...]) -> int:
    """Serve the AEP API on loopback until interrupted."""
    from reconciler.emulator import FaultsInvalid
    from reconciler.emulator.server import run_server

    try:
        run_server(port=port, data=data, faults=faults, datasets=datasets, ready=_ready)
    except ModuleNotFoundError as error:
        raise SettingsInvalid(
            "the emulator on a socket needs uvicorn", hint="install it with `pip install 'aep-reconciler[emulator]'`"
        ) from error
    except FaultsInvalid as error:
        raise SettingsInvalid(
            f"`{faults}`: {error}", hint="the form is described in `reconciler/emulator/faultfile.py`"
        ) from error
    except ValueError as error:
        raise SettingsInvalid(f"`{data}`: {error}", hint="choose another file with `--data`") from error
    except OSError as error:
        raise SettingsInvalid(
            f"cannot serve on port {port}: {error.strerror or error}", hint="choose another one, or 0 for a free one"
        ) from error
    return ExitCode.OK


def _ready(port: int) -> None:
    click.echo(f"AEP_API_URL=http://127.0.0.1:{port}")
    click.echo(f"AEP_IMS_URL=http://127.0.0.1:{port}")
