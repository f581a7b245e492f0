"""The CPUs of a process: its affinity, and the quotas of the control groups around it, as the kernel writes them."""

import os

import pytest

from toolchain.agent.install.usable_cpus import count_usable_cpus

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def write(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, ALLOWED),
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "max 100000\n"}, ALLOWED),
        # Around a group without one of its own, and in a container, whose own group is the root of what it sees.
        ({"proc/self/cgroup": "0::/app/part\n", "sys/fs/cgroup/app/cpu.max": "25000 100000\n"}, 0.25),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "75000 100000\n"}, 0.75),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/ab\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            ALLOWED,
        ),
        ({"proc/self/cgroup": "no line of it\n", "sys/fs/cgroup/cpu.max": "damage\n"}, ALLOWED),
    ],
)
def test_a_quota_is_no_more_cpus_than_it_gives_time_of(tmp_path, files, cpus):
    write(tmp_path, files)
    assert count_usable_cpus(tmp_path) == cpus
