"""A command line that its parser refuses ends a deploy too: an earlier report must not outlive it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from toolchain.cli.outcome import begin_reports
from toolchain.cli.places import Place, find_places
from toolchain.project.find import list_targets


class DeployCommand(TyperCommand):
    """The command deploy, which reports what its parser refuses where the words that it does understand say."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; raises TyperException for one that is wrong, after that was reported."""
        given = list(args)  # the parser takes words away
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException:
            if ctx.resilient_parsing:
                raise
            with begin_reports(self._find_places(ctx, given)):
                raise

    def _find_places(self, ctx: Any, given: list[str]) -> list[Place]:
        known = {name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)}
        words = [word for word in given if not word.startswith("-") or word.partition("=")[0] in known]
        read = self.make_context(ctx.info_name, words, parent=ctx.parent, resilient_parsing=True)
        options = read.params
        # An option that is unknown leaves its value among the words that could be the model.
        free = [word for word in (options.get("model"), *read.args) if word]
        targets = [options["target"]] if options.get("target") else [word for word in free if word in list_targets()]
        out = options.get("out")
        places: dict[Path, Place] = {}
        for model in free or [None]:
            for target in targets or [None]:
                for place in find_places(
                    model, target=target, device=options.get("device"), out=None if out is None else Path(out)
                ):
                    places.setdefault(place.folder, place)
        return list(places.values())
