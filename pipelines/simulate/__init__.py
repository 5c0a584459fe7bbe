"""The job that writes simulated logs in the KuaiSAR layout, and a dataset of them."""

from pipelines.simulate.build import build_dataset
from pipelines.simulate.logs import write_logs

__all__ = ["build_dataset", "write_logs"]
