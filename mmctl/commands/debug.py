"""The commands for whoever helps others: a bundle of all there is to be seen."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mmctl.connect import Target
from mmctl.doctor.check import Told
from mmctl.doctor.view import teller
from mmctl.options import Debug, Output, connected
from mmctl.output import Form, say, show_text, show_value
from mmctl.progress import Progress
from mmctl.sizes import count, human_size

app = typer.Typer(name="debug", help="What whoever helps you needs to see.", no_args_is_help=True)


@app.callback()
def debug_() -> None:
    """What whoever helps you needs to see."""


@dataclass(frozen=True, slots=True)
class Written:
    """A bundle: ``parts`` are the files in it, ``missing`` why a part is not there or not whole."""

    path: Path
    parts: tuple[str, ...]
    missing: dict[str, str]


@app.command("bundle")
@connected
def bundle(
    target: Target,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", show_default="mmctl-bundle-TIME.tar.gz", help="Where it is written."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All models, not a sample of 1,000.")] = False,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Keys of models too, which may hold credentials.")
    ] = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Write one tar.gz with what is to be seen of a mesh: status, models, settings, decisions, metrics, logs, findings.

    Passwords, keys and tokens are masked. What cannot be had is named in missing.json.
    """
    path = out or Path(f"mmctl-bundle-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
    with Progress() as progress:
        progress.waiting("collecting")
        written = asyncio.run(_write(target, path, all_, with_keys, teller(progress)))
    if output is Form.NAME:
        show_text(f"{written.path}\n")
    elif output in (Form.JSON, Form.YAML):
        missing = [{"part": part, "why": why} for part, why in written.missing.items()]
        plain = {"path": str(written.path), "size_bytes": path.stat().st_size, "parts": list(written.parts)}
        show_value({**plain, "missing": missing}, output)
    else:
        for part, why in written.missing.items():
            say(f"{part}: {why}", style="yellow")
        size = human_size(path.stat().st_size)
        say(f"{count(len(written.parts), 'part')}, {size}; look through it before you send it")
        show_text(f"{written.path}\n")


async def _write(target: Target, path: Path, has_all: bool, with_keys: bool, told: Told) -> Written:
    from mmctl.doctor.archive import archive
    from mmctl.doctor.bundle import Bundle
    from mmctl.doctor.masking import Masker
    from mmctl.doctor.subject import examined
    from mmctl.local.home import Home, default_data_dir

    missing: dict[str, str] = {}
    with archive(path, path.name.removesuffix(".gz").removesuffix(".tar")) as into:
        async with examined(target, {}) as subject:
            home = Home(target.data_dir or default_data_dir()) if subject.local else None
            async for part in Bundle(subject, Masker(with_keys), has_all, home).parts(told):
                if part.missing:
                    missing[part.name] = part.missing
                if part.content and not into.add(part.name, part.content):
                    missing[part.name] = "its end is cut off: the bundle has a bound"
        into.add_last("missing.json", json.dumps(missing, indent=1, ensure_ascii=False).encode() + b"\n")
    return Written(path, tuple(into.names), missing)
