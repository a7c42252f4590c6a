"""Times one training step in JAX and in PyTorch, to be set beside natgrad's own. Optional: nothing in the project runs it.

    python3 -m venv venv
    venv/bin/pip install jax==0.11.2 jaxlib==0.11.2 optax==0.2.8 torch==2.15.0 ivon-opt==0.1.3
    venv/bin/python steps.py run --rounds 10
    venv/bin/python steps.py serve

jaxlib 0.11.2 carries the XLA of natgrad's CPU plugin, and needs Python 3.12 or later. An older JAX runs on the plugin itself
with `--plugin ~/.cache/natgrad/packages/lammps-jax-pjrt-cpu-0.11.2/pjrt_c_api_cpu_plugin.so`.

`run` times what is asked for in turns (one step of each, over and over), so that a drift of the machine's speed cancels in
the ratios, and prints a JSON line for each. Times are wall times in ms of a whole step with its data already on the device;
`cpu_ms` is the process's CPU time, all threads together. `spread` is the distance of the quartiles over the median.

`serve` lets another program take the turns. It reads commands from standard input and answers each with a JSON line:

    jax gpt6 adamw 3             three steps; the first command for a step builds it and makes two steps that do not count
    torch gpt6 ivon 3 vocab=256  fields of a workload can be changed
    drop torch gpt6 ivon         frees it
    quit
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time

from workloads import WORKLOADS, workload

FRAMEWORKS = ("jax", "torch")
RULES = ("adamw", "ivon")


def build(framework, name, rule, changes):
    spec = workload(name, changes)
    if framework == "jax":
        import with_jax as module
    elif framework == "torch":
        import with_torch as module
    else:
        raise ValueError(f"no framework {framework}: {', '.join(FRAMEWORKS)}")
    step = module.Step(spec, rule)
    for _ in range(2):
        step.run()
    return step


def timed(step):
    """Wall and CPU time of one step in ms, and its loss."""
    wall, cpu = time.perf_counter(), time.process_time()
    loss = step.run()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3, loss


def spread(times):
    if len(times) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle


def summary(rounds):
    wall, cpu, loss = zip(*rounds)
    return {
        "min_ms": round(min(wall), 3),
        "median_ms": round(statistics.median(wall), 3),
        "spread": round(spread(wall), 4),
        "cpu_min_ms": round(min(cpu), 3),
        "cpu_median_ms": round(statistics.median(cpu), 3),
        "rounds": len(rounds),
        "loss": loss[-1],
    }


def run(args):
    changes = dict(change.split("=", 1) for change in args.set)
    for name in args.workloads:
        steps = {(f, r): build(f, name, r, changes) for f in args.frameworks for r in args.rules}
        rounds = {key: [] for key in steps}
        for _ in range(args.rounds):
            for key, step in steps.items():
                rounds[key].append(timed(step))
        for (framework, rule), times in rounds.items():
            head = {"framework": framework, "workload": name, "rule": rule, **changes}
            print(json.dumps({**head, "parameters": steps[framework, rule].parameters(), **summary(times)}), flush=True)
        steps.clear()
        gc.collect()


def serve(_args):
    steps = {}
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        if words == ["quit"]:
            return
        try:
            if words[0] == "drop":
                steps.pop(tuple(words[1:]), None)
                gc.collect()
                answer = {"dropped": words[1:]}
            else:
                framework, name, rule, count, *changes = words
                key = (framework, name, rule, *changes)
                if key not in steps:
                    steps[key] = build(framework, name, rule, dict(change.split("=", 1) for change in changes))
                rounds = [timed(steps[key]) for _ in range(int(count))]
                head = {"framework": framework, "workload": name, "rule": rule}
                times = {"times_ms": [round(wall, 3) for wall, _, _ in rounds], "cpu_ms": [round(cpu, 3) for _, cpu, _ in rounds]}
                answer = {**head, **times, "loss": rounds[-1][2] if rounds else None, "parameters": steps[key].parameters()}
        except (ValueError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="cores that both frameworks may use")
    parser.add_argument("--plugin", help="a PJRT plugin for JAX to run on")
    commands = parser.add_subparsers(required=True)
    words = lambda text: text.split(",")
    runs = commands.add_parser("run", help="time steps in turns")
    runs.add_argument("--frameworks", type=words, default=FRAMEWORKS)
    runs.add_argument("--workloads", type=words, default=list(WORKLOADS))
    runs.add_argument("--rules", type=words, default=RULES)
    runs.add_argument("--rounds", type=int, default=10)
    runs.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change a workload, such as vocab=256")
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
