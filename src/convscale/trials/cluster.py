"""Trials on a Ray cluster: one task per attempt, never retried by Ray, because the coordinator does that."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError, MissingExtraError, RunError
from convscale.trials.executor import Attempt, Ended
from convscale.trials.trial import Trial, Work
from convscale.trials.worker import Answer, carry_out

CONNECT_SECONDS = 10


class ClusterExecutor:
    """Attempts as tasks of a Ray cluster, each with `cpus` and `gpus` (0.25 puts four on one GPU).

    address: "auto" for the cluster that this machine belongs to, HOST:PORT of another, "local" for one of this machine
    alone. Every node must see the study's folder under the same path. work: a function of a module that the nodes can
    import; `train_trial` by default. Raises RunError where no cluster answers, ConfigError for counts that no node can
    have, MissingExtraError without Ray.
    """

    def __init__(self, address: str, *, cpus: float = 1, gpus: float = 0, work: Work | None = None) -> None:
        if cpus < 0 or gpus < 0 or cpus + gpus == 0:
            raise ConfigError(
                f"{cpus:g} CPUs and {gpus:g} GPUs per trial", hint="0 or more of each, and one of them above 0"
            )
        try:
            import ray
        except ImportError:
            raise MissingExtraError("ray", "cluster", "trials on several machines") from None
        if work is None:
            from convscale.trials.training_work import train_trial

            work = train_trial
        self._ray: Any = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(ray, address)
        threads = str(max(1, int(cpus)))
        environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "GOMP_SPINCOUNT": "0"}
        self._cpus, self._gpus = cpus, gpus
        # max_calls: a worker process ends after each trial, so that what libraries keep does not add up
        task = ray.remote(max_retries=0, max_calls=1, num_cpus=cpus, num_gpus=gpus)(_carry_out)
        self._task: Any = task.options(runtime_env={"env_vars": environment})
        self._work = ray.put(work)
        self._running: dict[Any, Attempt] = {}

    @property
    def slots(self) -> int:
        """How many attempts the cluster has room for now; nodes may come and go."""
        has = self._ray.cluster_resources()
        room = [has.get(name, 0) / need for name, need in (("CPU", self._cpus), ("GPU", self._gpus)) if need]
        return int(min(room) + 1e-9)

    def start(self, attempt: Attempt) -> None:
        """Hand an attempt to the cluster."""
        reference = self._task.remote(self._work, attempt.trial, str(attempt.run))
        self._running[reference] = attempt

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """The attempts that ended since the last call; returns after the timeout where none did.

        Raises RunError where a node cannot run trials.
        """
        if not self._running:
            time.sleep(timeout_seconds)  # no node has room: one may join
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=min(timeout_seconds, 0.1))
        if not done:
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_seconds)
        return [self._ended(self._running.pop(one), one) for one in done]

    def _ended(self, attempt: Attempt, reference: Any) -> Ended:
        try:
            answer: Answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # not the trial's fault: its own errors come back as answers
            raise RunError(
                f"a node of the cluster cannot run trials: {type(error.cause).__name__}: {error.cause}",
                hint="every node needs this version of Convscale and the study's folder, same path; then rerun",
            ) from None
        except self._ray.exceptions.RayError as error:  # worker, node or memory went away
            return Ended(attempt, "lost", reason=f"{type(error).__name__}: {str(error).splitlines()[0]}")
        return Ended(attempt, *answer)

    def close(self, *, grace_seconds: float = 5.0) -> None:
        """Ask every attempt to save its state, kill those that do not, leave the cluster."""
        for reference in self._running:
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(reference)
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=grace_seconds)
        for reference in self._running:
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Join the cluster. Ray ends the whole process where nothing listens, so that is checked first."""
    try:
        if ":" in address:
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        local = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False, **local)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise RunError(
            f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0]}",
            hint="`ray start --head` on one machine, `ray start --address HOST:PORT` on the others",
        ) from None


def _carry_out(work: Work, trial: Trial, run: str) -> Answer:
    """In a worker of the cluster."""
    folder = Path(run)
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"{folder.parent} does not exist on {socket.gethostname()}")
    return carry_out(work, trial, folder)
