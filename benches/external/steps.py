"""Times training steps of JAX, PyTorch and natgrad for Python, to be set beside natgrad's own. Optional: nothing in the project needs it.

    natgrad compare configs/bench/mlp.json --with 'venv/bin/python benches/external/steps.py serve'

takes turns with natgrad: `serve` reads commands from standard input and answers each with a line of JSON:

    entrants mlp            what it can time on a workload
    time jax mlp adamw 10   the seconds of ten steps; the first time it builds the step and makes two that do not count
    drop jax mlp adamw      frees it

    venv/bin/python benches/external/steps.py run --json external.json
    natgrad compare configs/bench/mlp.json --include external.json

takes turns of its own, and writes a report in the form of `natgrad compare --json`.
"""

import argparse
import gc
import importlib.metadata
import json
import math
import os
import platform
import random
import statistics
import sys
import time

from workloads import WORKLOADS

FRAMEWORKS = ("jax", "torch", "natgrad")
RULES = ("adamw", "ivon")
PACKAGES = {"jax": ("jax", "optax"), "torch": ("torch", "ivon-opt"), "natgrad": ("natgrad", "jax")}
TURN_SECONDS = 0.2


def build(framework, name, rule):
    if framework == "jax":
        import with_jax as module
    elif framework == "torch":
        import with_torch as module
    elif framework == "natgrad":
        import with_natgrad as module
    else:
        raise ValueError(f"no framework {framework}: {', '.join(FRAMEWORKS)}")
    if name not in WORKLOADS:
        raise ValueError(f"no workload {name}: {', '.join(WORKLOADS)}")
    step = module.Step(WORKLOADS[name], rule)
    step.run(2)
    return step


def seconds(step, steps):
    begin = time.perf_counter()
    step.run(steps)
    return time.perf_counter() - begin


def serve(args):
    steps = {}
    for line in sys.stdin:
        try:
            match line.split():
                case []:
                    continue
                case ["entrants", name]:
                    known = args.frameworks if name in WORKLOADS else []
                    answer = {"entrants": [(framework, rule) for framework in known for rule in args.rules]}
                case ["time", framework, name, rule, count]:
                    key = (framework, name, rule)
                    if key not in steps:
                        steps[key] = build(*key)
                    answer = {"seconds": seconds(steps[key], int(count))}
                case ["drop", *key]:
                    steps.pop(tuple(key), None)
                    gc.collect()
                    answer = {}
                case words:
                    raise ValueError(f"not a command: {' '.join(words)}")
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def interval(values):
    """The median, and the order statistics between which the true median is 19 times in 20."""
    values = sorted(values)
    count, cut, below = len(values), 0, 0.5 ** len(values)
    while cut + 1 < count and below + math.comb(count, cut + 1) * 0.5**count <= 0.025:
        cut += 1
        below += math.comb(count, cut) * 0.5**count
    if below > 0.025:
        cut = 0
    return {"median": statistics.median(values), "low": values[cut], "high": values[-1 - cut]}


def compare(name, frameworks, rules, budget):
    """The rows of one workload: turns in an order drawn anew each round, until the time is up."""
    entrants = [(framework, rule) for framework in frameworks for rule in rules]
    steps = {entrant: build(entrant[0], name, entrant[1]) for entrant in entrants}
    counts = {entrant: max(1, math.ceil(TURN_SECONDS / seconds(step, 1))) for entrant, step in steps.items()}
    times, begin = {entrant: [] for entrant in entrants}, time.perf_counter()
    while min(map(len, times.values())) < 6 or time.perf_counter() - begin < budget:
        for entrant in random.sample(entrants, len(entrants)):
            times[entrant].append(seconds(steps[entrant], counts[entrant]) / counts[entrant])
    for framework, rule in entrants:
        own, first = times[framework, rule], times[framework, rules[0]]
        same = times[frameworks[0], rule]
        yield {
            "config": name,
            "framework": framework,
            "rule": rule,
            "step_ms": interval([1e3 * value for value in own]),
            "ratio": interval([value / other for value, other in zip(own, first)]),
            "ratio_to_framework": interval([value / other for value, other in zip(own, same)]),
            "rounds": len(own),
            "steps_per_round": counts[framework, rule],
            "parameters": steps[framework, rule].parameters(),
            "peak_bytes": None,
            "compile_ms": None,
        }


def run(args):
    rows = []
    for name in args.workloads:
        rows += compare(name, args.frameworks, args.rules, args.time)
        for row in rows[-len(args.frameworks) * len(args.rules) :]:
            step, ratio, same = row["step_ms"], row["ratio"], row["ratio_to_framework"]
            print(
                f"{name} {row['framework']} {row['rule']}: {step['median']:.1f} ms, ratio to {args.rules[0]} "
                f"{ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}), to {args.frameworks[0]}'s {row['rule']} "
                f"{same['median']:.3f} ({same['low']:.3f} to {same['high']:.3f})",
                flush=True,
            )
        gc.collect()
    if args.json:
        packages = [package for framework in args.frameworks for package in PACKAGES[framework]]
        made_by = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
        report = {"made_by": made_by, "machine": f"{platform.machine()}, {args.threads} threads", "rows": rows}
        with open(args.json, "w") as file:
            json.dump(report, file, indent=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="cores that each framework may use")
    parser.add_argument("--plugin", help="a PJRT plugin for JAX to run on")
    words = lambda text: text.split(",")
    parser.add_argument("--frameworks", type=words, default=["jax", "torch"], help=f"of {', '.join(FRAMEWORKS)}")
    parser.add_argument("--rules", type=words, default=list(RULES), help="ratios are to the first")
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="time steps in turns")
    runs.add_argument("--workloads", type=words, default=list(WORKLOADS))
    runs.add_argument("--time", type=float, default=60, metavar="SECONDS", help="for each workload")
    runs.add_argument("--json", metavar="FILE")
    runs.set_defaults(command=run)
    commands.add_parser("serve", help="time what standard input asks for").set_defaults(command=serve)
    args = parser.parse_args()

    # XLA's and PyTorch's pools are as large as the cores that the process may use, so this comes before either is loaded.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if args.plugin:
        import with_jax

        with_jax.use_plugin(args.plugin)
    args.command(args)


if __name__ == "__main__":
    main()
