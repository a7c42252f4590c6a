"""Times natgrad's steps in turns with those of JAX and PyTorch, and prints the ratios. Optional: nothing runs it.

    cargo build --release --example step_times
    venv/bin/python compare.py ../../target/release/examples/step_times --rounds 10

Three processes wait for commands (`steps.py serve` twice, and the example), and only the one whose turn it is works. A turn
is one step. `min` is the least time in ms; `ratio` the median over rounds of the times' ratio in that round, with its
quartiles, and `of minima` the ratio of the least times.

`--others-keep-memory` preloads a library into the others that sets the allocator as natgrad sets its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KEEP = "#include <malloc.h>\n__attribute__((constructor)) static void keep(void)\n{ mallopt(M_ARENA_MAX, 1); mallopt(M_MMAP_MAX, 0); mallopt(M_TRIM_THRESHOLD, -1); }\n"


class Process:
    """A process that answers commands with lines of JSON."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
        )

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process ended at: {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{command}: {answer['error']}")
        return answer

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def keeping_memory(folder):
    """The environment of a process whose allocator keeps what is freed."""
    source, library = Path(folder) / "keep.c", Path(folder) / "keep.so"
    source.write_text(KEEP)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


def ratio(times, others):
    ratios = [a / b for a, b in zip(times, others)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}); of minima {min(times) / min(others):.3f}"


def compare(args, folder):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    environment = keeping_memory(folder) if args.others_keep_memory else {}
    plugin = ["--plugin", args.plugin] if args.plugin else []
    serve = [sys.executable, str(HERE / "steps.py"), "--threads", str(args.threads), *plugin, "serve"]
    names = dict.fromkeys(entrant.split()[0] for entrant in args.entrants)
    known = {"natgrad": ([args.example], None), "jax": (serve, environment), "torch": (serve, environment)}
    processes = {name: Process(*known[name]) for name in names}
    for name in args.workloads:
        words = {entrant: entrant.split() for entrant in args.entrants}

        def step(entrant, count):
            framework, rule, *changes = words[entrant]
            return processes[framework].ask(" ".join([framework, name, rule, str(count), *changes]))

        for entrant in words:
            answer = step(entrant, 0)
            memory = [f"{answer[key] / 1e6:.0f} MB {key[:-6]}" for key in answer if key.endswith("_bytes")]
            print(f"{name}: {entrant}, {answer['parameters']} parameters", *memory, sep=", ", flush=True)
        times = {entrant: [] for entrant in words}
        for _ in range(args.rounds):
            for entrant in words:
                times[entrant] += step(entrant, 1)["times_ms"]
        for entrant, own in times.items():
            print(f"{name}: {entrant}: min {min(own):.1f} ms, median {statistics.median(own):.1f} ms", flush=True)
        for own, other in args.ratios:
            if own in times and other in times:
                print(f"{name}: {own} / {other}: {ratio(times[own], times[other])}", flush=True)
        for entrant in words:
            framework, rule, *changes = words[entrant]
            processes[framework].ask(" ".join(["drop", framework, name, rule, *changes]))
    for process in processes.values():
        process.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", help="the built example step_times")
    words = lambda text: text.split(",")
    parser.add_argument("--workloads", type=words, default=["mlp", "resnet20", "gpt6", "gpt2-small"])
    parser.add_argument(
        "--entrants", type=words, default=["natgrad adamw", "natgrad ivon", "jax adamw", "torch adamw"],
        help="whose turns there are, such as `natgrad ivon plan=implicit` or `torch ivon`",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2, help="cores that each may use")
    parser.add_argument("--plugin", help="a PJRT plugin for JAX to run on")
    parser.add_argument("--others-keep-memory", action="store_true", help="give the others natgrad's allocator settings")
    args = parser.parse_args()
    base = [("natgrad adamw", "jax adamw"), ("natgrad adamw", "torch adamw")]
    against = [(entrant, "natgrad adamw") for entrant in args.entrants if entrant.startswith("natgrad ivon")]
    args.ratios = base + against
    with tempfile.TemporaryDirectory() as folder:
        compare(args, folder)


if __name__ == "__main__":
    main()
