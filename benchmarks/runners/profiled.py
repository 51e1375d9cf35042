"""Runs one thing and tells where the processor time of its main thread went, by layer.

``python -m benchmarks.runners.profiled crawl URL CONCURRENCY FOLDER`` crawls the source, and
``… declare COUNT FOLDER`` declares records in a loop. Prints one line of JSON: seconds by layer, what to divide them by
(requests or records), and processor seconds of the other threads.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import orjson

from benchmarks.runners.declare import Nowhere
from benchmarks.runners.ours import Tables
from benchmarks.runners.records_ours import Whole
from secoda_async import SecodaIntegration
from secoda_async.cpu_sampler import sampled_cpu


def main() -> None:
    what, *rest = sys.argv[1:]
    integration: SecodaIntegration
    if what == "crawl":
        url, concurrency, folder = rest
        integration = Tables(credentials={"base_url": url}, concurrency=int(concurrency), state_dir=Path(folder))
    else:
        count, folder = rest
        integration = Whole(credentials={}, state_dir=Path(folder))
        integration.count = int(count)
    began, used, busy = time.perf_counter(), time.process_time(), time.thread_time()
    with sampled_cpu() as sample:
        report = integration.start(Nowhere())
    seconds, cpu, thread = time.perf_counter() - began, time.process_time() - used, time.thread_time() - busy
    result = {
        "layers": {layer: share * sample.seconds for layer, share in sample.shares().items()},
        "looks": sample.count,
        "each": report.source.requests if what == "crawl" else sum(report.resources.values()) + report.lineage,
        "seconds": seconds,
        "thread_seconds": thread,
        "other_threads_seconds": cpu - thread,
    }
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
