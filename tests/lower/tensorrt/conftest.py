"""Without the rtx extra, the tests that ask NVIDIA's parser and builder are not collected."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("tensorrt_rtx") else ["rtx/*"]
