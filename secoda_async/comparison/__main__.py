"""One run of a comparison, in a process of its own."""

from __future__ import annotations

from secoda_async.comparison.run_side import Job, run_side
from secoda_async.job_process import serve_job

if __name__ == "__main__":
    serve_job(lambda job: run_side(Job.model_validate_json(job)).model_dump_json().encode())
