"""Commands with a limit of time: each is a group of processes of its own, and all it printed is kept."""

import os
import re
import shlex
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# Between the request to end and the end by force.
GRACE = 2.0
TAIL_LINES, TAIL_LETTERS = 6, 600


class OutOfTime(Exception):
    """No time is left to start a command; the text says whose time."""


class Stopped(Exception):
    """Somebody asked the script to end."""


@dataclass
class Done:
    """What a command did."""

    name: str
    command: str
    exit: int | None
    seconds: float
    # Why it was stopped before its end.
    stopped: str | None
    stdout: str
    stderr: str
    logs: list = field(default_factory=list)
    # Whose end ended it, if that was not its own fault.
    over: Exception | None = None
    # It was killed because that was to be tried.
    meant: bool = False

    @property
    def ok(self):
        return self.exit == 0 and self.stopped is None

    def tail(self):
        lines = [line for line in (self.stdout + "\n" + self.stderr).splitlines() if line.strip()]
        return "\n".join(lines[-TAIL_LINES:])[-TAIL_LETTERS:]

    def trouble(self):
        """In one line, what went wrong."""
        if self.stopped:
            return f"{self.name}: {self.stopped}"
        said = [line for line in self.stderr.splitlines() if line.startswith("error")] or self.tail().splitlines()[-1:]
        ended = f"exit {self.exit}" if self.exit is None or self.exit >= 0 else f"signal {-self.exit}"
        return f"{self.name}: {ended}: {said[0] if said else 'it said nothing'}"

    def report(self):
        return {
            "name": self.name,
            "command": self.command,
            "exit": self.exit,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
            "meant": self.meant,
            "logs": self.logs,
            "tail": self.tail(),
        }


class Commands:
    """Starts commands in the time that is left, and ends them when it is over."""

    def __init__(self, folder, env, day_end):
        self.folder, self.env, self.day_end = Path(folder), env, day_end
        self.folder.mkdir(parents=True, exist_ok=True)
        self.section_end = day_end
        self.stop_asked = None
        self.count, self.lock = 0, threading.Lock()

    def ask_to_stop(self, number, _frame):
        self.stop_asked = self.stop_asked or signal.Signals(number)

    def left(self, share=1.0):
        """The seconds that a command may take, a share of what the section has; none is an error."""
        if self.stop_asked:
            raise Stopped(self.stop_asked.name)
        now = time.monotonic()
        if self.day_end - now <= GRACE:
            raise OutOfTime("the day's minutes are spent")
        if self.section_end - now <= GRACE:
            raise OutOfTime("the section's time is spent")
        return max((min(self.day_end, self.section_end) - now) * share - GRACE, 1.0)

    def start(self, name, argv, env=None):
        with self.lock:
            self.count += 1
            stem = f"{self.count:03d}-{re.sub('[^A-Za-z0-9.]+', '-', name).strip('-')}"
        paths = [self.folder / f"{stem}.out", self.folder / f"{stem}.err"]
        with open(paths[0], "wb") as out, open(paths[1], "wb") as err:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**self.env, **(env or {})},
                start_new_session=True,
            )
        return process, paths

    def run(self, name, argv, share=1.0, env=None, kill_when=None):
        """Runs a command to its end, or to the end of its time; `kill_when` says when it is killed at once."""
        limit = self.left(share)
        begin = time.monotonic()
        command = shlex.join(str(word) for word in argv)
        try:
            process, paths = self.start(name, argv, env)
        except OSError as error:
            return Done(name, command, None, 0.0, f"it cannot be started: {error}", "", "")
        stopped, over, meant = None, None, False
        while process.poll() is None:
            if kill_when and kill_when():
                end_group(process, signal.SIGKILL)
                meant = True
                break
            if self.stop_asked or time.monotonic() - begin > limit:
                stopped = f"stopped after {limit:.0f} s"
                if self.stop_asked:
                    over = Stopped(self.stop_asked.name)
                elif time.monotonic() >= self.day_end - GRACE - 0.5:
                    over = OutOfTime("the day's minutes are spent")
                stopped = f"{stopped}: {over}" if over else stopped
                end_group(process, signal.SIGTERM)
                wait(process, GRACE)
                break
            time.sleep(0.005 if kill_when else 0.02)
        # Also what it started and left behind.
        end_group(process, signal.SIGKILL)
        process.wait()
        seconds = time.monotonic() - begin
        stdout, stderr = (path.read_text(errors="replace") for path in paths)
        for path in paths:
            if path.stat().st_size == 0:
                path.unlink()
        logs = [f"{path.parent.name}/{path.name}" for path in paths if path.exists()]
        return Done(name, command, process.returncode, seconds, stopped, stdout, stderr, logs, over, meant)


def end_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        # Some systems say so of a group that only has processes that have ended.
        pass


def wait(process, seconds):
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
