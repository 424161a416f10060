"""Checks whether the workers of a fleet agree: versions, clocks, settings and names."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from config.diagnostics import Check, Diagnosis
from config.ledger.fleet import Fleet, WorkerView
from producer.doctor.store import SKEW_SECONDS, off_by

LOOKS = 12  # at the heartbeats, which a worker sends at least every 2 s
FEWEST_LOOKS = 5
SECONDS_BETWEEN = 0.5
RANDOM_ADDRESS = 1 << 40  # this bit of a MAC address says that Python found none and made one up for its process


@dataclass(frozen=True)
class Agreement:
    """The live workers of a fleet. `version` is that of this installation."""

    fleet: Fleet
    version: str
    silence: float
    """seconds without a heartbeat after which a worker is presumed dead"""
    wait: Callable[[float], object] = time.sleep

    def checks(self) -> list[Check]:
        """All checks."""
        return [
            Check("workers run the same version", self.versions),
            Check("workers can read the runs", self.newer_runs),
            Check("worker clocks", self.clocks),
            Check("workers share a visibility timeout", self.visibility),
            Check("workers of a machine share the device lock", self.lock_dirs),
            Check("host names", self.host_names),
            Check("worker names", self.doubled),
        ]

    def alive(self) -> list[WorkerView]:
        """Workers with a recent heartbeat."""
        return [view for view in self.fleet.workers() if view.silent_seconds <= self.silence]

    def versions(self) -> Iterator[Diagnosis]:
        """Workers that run another version of applejack."""
        for view in self.alive():
            version = view.fields.get("version")
            if version != self.version:
                yield Diagnosis(
                    "worker_version",
                    "warning",
                    f"the worker {view.name!r} runs applejack {version or '(unknown)'}, this machine {self.version}",
                    "install the same version on every machine before the next run",
                )

    def newer_runs(self) -> Iterator[Diagnosis]:
        """Runs of a later version, which a worker leaves to others."""
        for view in self.alive():
            runs = view.fields.get("newer_runs")
            for run_id, why in runs.items() if isinstance(runs, dict) else ():
                yield Diagnosis(
                    "run_newer",
                    "error",
                    f"the worker {view.name!r} takes nothing of the run {run_id!r}: {why}",
                    "install that version there and restart the worker; workers of that version go on meanwhile",
                )

    def clocks(self) -> Iterator[Diagnosis]:
        """Compare each worker's clock, sent with its heartbeat, with the server's time of that heartbeat."""
        now = self.fleet.now()
        for view in self.alive():
            clock = view.fields.get("clock")
            if not isinstance(clock, int | float):
                continue
            ahead = clock - (now - view.silent_seconds)
            if abs(ahead) > SKEW_SECONDS:
                yield Diagnosis(
                    "clock_skew",
                    "error",
                    f"the clock of {view.name!r} is {off_by(ahead)} the Redis server's",
                    "turn on network time there; the times in its log and in Flower's task list are off by as much",
                )

    def visibility(self) -> Iterator[Diagnosis]:
        """All queues of a database share one index of unacknowledged messages: the shortest timeout rules them all."""
        users: dict[float, list[str]] = defaultdict(list)
        for view in self.alive():
            if isinstance(seconds := view.fields.get("visibility_seconds"), int | float):
                users[float(seconds)].append(view.name)
        if len(users) > 1:
            listed = "; ".join(f"{seconds:g} s: {', '.join(names)}" for seconds, names in sorted(users.items()))
            yield Diagnosis(
                "visibility_differs",
                "error",
                f"the workers have different visibility timeouts ({listed}): the shortest applies to every queue",
                "set APPLEJACK_VISIBILITY_SECONDS to the same value everywhere, or unset it, and restart the workers",
            )

    def lock_dirs(self) -> Iterator[Diagnosis]:
        """Workers that load models on one device have to claim it in the same directory."""
        users: dict[tuple[object, object], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for view in self.alive():
            device = view.fields.get("device")
            if isinstance(device, dict) and isinstance(folder := device.get("lock_dir"), str):
                users[view.fields.get("machine"), device.get("name")][folder].append(view.name)
        for (_, device_name), folders in users.items():
            if len(folders) > 1:
                listed = "; ".join(f"{folder!r}: {', '.join(names)}" for folder, names in sorted(folders.items()))
                yield Diagnosis(
                    "lock_dirs_differ",
                    "error",
                    f"workers of one machine claim its device {device_name!r} in different directories ({listed}): "
                    "they will load two models at once",
                    "set APPLEJACK_LOCK_DIR to one directory for all of them, or unset it, and restart the workers",
                )

    def host_names(self) -> Iterator[Diagnosis]:
        """Two machines of one host name: their workers' names can collide, and no list tells them apart."""
        machines: dict[str, set[str]] = defaultdict(set)
        for view in self.alive():
            machine, host = view.fields.get("machine"), view.name.rpartition("@")[2]
            if (
                isinstance(machine, str)
                and re.fullmatch("[0-9a-f]+", machine)
                and not int(machine, 16) & RANDOM_ADDRESS
            ):
                machines[host].add(machine)
        for host, found in machines.items():
            if len(found) > 1:
                yield Diagnosis(
                    "host_name_shared",
                    "warning",
                    f"{len(found)} machines have the host name {host!r}",
                    "rename one of them (macOS: sudo scutil --set HostName NAME), or give each worker its own --name",
                )

    def doubled(self) -> Iterator[Diagnosis]:
        """Two processes of one name: the heartbeat comes from one, from the other, and from the one again."""
        seen: dict[str, list[object]] = defaultdict(list)
        for look in range(LOOKS):
            for view in (views := self.alive()):
                process = (view.fields.get("machine"), view.fields.get("pid"))
                if seen[view.name][-1:] != [process]:
                    seen[view.name].append(process)
            changed = any(len(processes) > 1 for processes in seen.values())  # may be a restart: look on
            if not views or (look + 1 >= FEWEST_LOOKS and not changed):
                break
            self.wait(SECONDS_BETWEEN)
        for name, processes in sorted(seen.items()):
            if len(processes) > len(set(processes)):
                yield Diagnosis(
                    "worker_doubled",
                    "error",
                    f"{len(set(processes))} processes are the worker {name!r}: a pause or a drain reaches any of them, "
                    "and what one holds looks like the other's",
                    "stop one, and start it with another --name",
                )
