"""Power cuts at random times of a deploy: afterwards the old release or the new one is active, and whole.

make test-power                                   200 cuts; their result goes to docs/power_cuts.json
python -m tests.agent.power.cuts --cuts 20 [--seed 1] [--out FILE]
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.agent.board import Board
from tests.agent.power.disk import Disk, make_disk
from tests.agent.quick_bundle import make_good
from tests.agent.surroundings import make_keys, make_quick_environment, write_signers

# The issue's: a cut may come up to a tenth of a deploy after its end.
_SPAN = 1.1
_WHAT_LENGTH = 500


class PowerCuts:
    """A board on a disk of its own, with "old" active, and the deploy of "new" whose power is cut."""

    def __init__(self, folder, template, old, new, environment):
        self.folder, self.old, self.new, self.environment = folder, old, new, environment
        self._template = folder / "template.img"
        make_disk(self._template, template.parent)

    def _make_room(self, *names):
        """Return the paths of images that do not exist: a file of their name would be another one.

        A disk is unmounted lazily, and on a busy machine it is still written to when the next one is made. Its writes must
        not land in that one: in the same file, an early cut came up with releases that it could not have.
        """
        paths = [self.folder / name for name in names]
        for path in paths:
            path.unlink(missing_ok=True)
        return paths

    def measure_deploy_s(self):
        """Return how long a deploy takes that nobody cuts, on the same busy disk."""
        (image,) = self._make_room("whole.img")
        shutil.copyfile(self._template, image)
        with Disk(image, self.folder / "mount") as disk, disk.busy():
            started_s = time.monotonic()
            answer = Board(disk.folder / "root", self.environment).install(self.new)
            duration_s = time.monotonic() - started_s
        assert answer.code == 0, answer
        return duration_s

    def cut(self, after_s):
        """Deploy, cut the power so many seconds after its start, and return which release the board comes up with.

        Raises AssertionError, OSError or ValueError (a file that should be JSON) where the board comes up with anything but the old or the new release, whole, or where the
        same deploy does not succeed then.
        """
        image, remains = self._make_room("cut.img", "remains.img")
        shutil.copyfile(self._template, image)
        with Disk(image, self.folder / "mount") as disk:
            host = Board(disk.folder / "root", self.environment).start()
            cut_s = time.monotonic() + after_s
            try:
                with disk.busy():
                    if host.offer(self.new) is not None:
                        host.send(self.new)
                    time.sleep(max(0.0, cut_s - time.monotonic()))
                disk.cut_power(remains)
            finally:
                host.process.kill()
                host.finish()
        with Disk(remains, self.folder / "mount") as disk:
            board = Board(disk.folder / "root", self.environment)
            board.assert_invariant(self.old.id, self.new.id)
            found = "old" if board.current == self.old.id else "new"
            answer = board.install(self.new)
            assert answer.code == 0, answer
            board.assert_settled(self.new.id, self.old.id)
        return found


def run_cuts(cuts, count, seed):
    """Return how a number of cuts at random times ended."""
    # The slowest of three: on a machine with other work a cut would often come too early to meet the switch.
    deploy_s = max(cuts.measure_deploy_s() for _ in range(3))
    generator = random.Random(seed)
    found, violations = Counter(), []
    for number in range(count):
        after_s = generator.uniform(0.0, _SPAN) * deploy_s
        try:
            found[cuts.cut(after_s)] += 1
        except (AssertionError, OSError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"[:_WHAT_LENGTH]
            violations.append({"cut": number, "after_s": round(after_s, 4), "what": what})
    return {
        "cuts": count,
        "seed": seed,
        "deploy_s": round(deploy_s, 3),
        "came_up_with": dict(sorted(found.items())),
        "violations": violations,
    }


def main():
    """Run the cuts and write what was found; the exit code is 1 where the board came up with anything else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = run_cuts(make_cuts(Path(name)), options.cuts, options.seed)
    text = json.dumps(result, indent=1) + "\n"
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 1 if result["violations"] else 0


def make_cuts(folder):
    """Return the board, its keys and its bundles, all in a folder."""
    for part in ("keys", "site", "board/root"):
        (folder / part).mkdir(parents=True)
    keys = make_keys(folder / "keys")
    environment = make_quick_environment(folder / "site")
    bundles = make_good(keys)
    root = folder / "board/root"
    write_signers(root, keys)
    answer = Board(root, environment).install(bundles["old"])
    assert answer.code == 0, answer
    return PowerCuts(folder, root, bundles["old"], bundles["new"], environment)


if __name__ == "__main__":
    sys.exit(main())
