"""What a measurement depends on besides the code."""

import importlib.metadata
import os
import platform


def describe_machine() -> dict:
    """The machine, its processors, and the versions of what runs."""
    packages = ("sar-tf", "tensorflow", "jax", "keras", "numpy")
    return {
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
