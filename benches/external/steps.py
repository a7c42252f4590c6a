"""Times training steps of JAX, PyTorch and natgrad for Python, to be set beside natgrad's own. Optional: nothing in the project needs it.

    natgrad compare configs/bench/mlp.json --with 'venv/bin/python benches/external/steps.py serve'

takes turns with natgrad: `serve` reads commands from standard input and answers each with a line of JSON:

    entrants mlp            what it can time on a workload
    time jax mlp adamw 10   the seconds of ten steps; the first time it builds the step and makes two that do not count
    drop jax mlp adamw      frees it

    venv/bin/python benches/external/steps.py run --json external.json
    natgrad compare configs/bench/mlp.json --include external.json

takes turns of its own, and writes a report in the form of `natgrad compare --json`.

    venv/bin/python benches/external/steps.py --device cuda --precision tf32 about

says what would be timed, on which device, with which versions, as a line of JSON.

A framework's name may go on with how it is used, such as `torch-compile-bf16`: see WAYS.
"""

import argparse
import dataclasses
import gc
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import random
import statistics
import sys
import time

import workloads
from workloads import WORKLOADS, Gpt, Setting

FRAMEWORKS = ("jax", "torch", "natgrad")
# How a framework may be used besides as it comes: what its name goes on with, and the fields of its setting.
WAYS = {
    "jax": {"attention": {"attention": True}, "bf16": {"precision": "bf16"}},
    "torch": {"compile": {"compiled": True}, "bf16": {"precision": "bf16"}},
    "natgrad": {},
}
RULES = ("adamw", "ivon")
PACKAGES = {"jax": ("jax", "optax"), "torch": ("torch", "ivon-opt"), "natgrad": ("natgrad", "jax")}
TURN_SECONDS = 0.2
# Where and how exactly all of them compute.
SETTING = Setting()


def used(name):
    """The framework that an entrant's name begins with, and the setting that it asks for: `torch-compile-bf16`."""
    framework, *ways = name.split("-")
    if framework not in FRAMEWORKS:
        raise ValueError(f"no framework {framework}: {', '.join(FRAMEWORKS)}")
    setting = SETTING
    for way in ways:
        if way not in WAYS[framework]:
            known = ", ".join(f"{framework}-{known}" for known in WAYS[framework]) or "none"
            raise ValueError(f"{name}: no way {way} to use {framework}; known are {known}")
        setting = dataclasses.replace(setting, **WAYS[framework][way])
    return framework, setting


def applies(framework, name):
    """Whether an entrant differs on a workload from the one without the word: attention needs a GPT."""
    return "attention" not in framework.split("-") or isinstance(WORKLOADS[name], Gpt)


def build(entrant, name, rule):
    framework, setting = used(entrant)
    if framework == "jax":
        import with_jax as module
    elif framework == "torch":
        import with_torch as module
    else:
        import with_natgrad as module
    if name not in WORKLOADS:
        raise ValueError(f"no workload {name}: {', '.join(WORKLOADS)}")
    step = module.Step(WORKLOADS[name], rule, setting)
    step.run(2)
    return step


def missing(entrant, rule):
    """Why this Python cannot time a rule in a framework; None if it can."""
    framework, setting = used(entrant)
    needed = {"jax": ["jax", "optax"], "torch": ["torch"], "natgrad": ["natgrad", "jax", "optax"]}[framework]
    if (framework, rule) == ("torch", "ivon") and not setting.compiled:
        needed.append("ivon")
    lacking = [module for module in needed if importlib.util.find_spec(module) is None]
    if lacking:
        return f"no module {', '.join(lacking)}"
    if framework == "natgrad":
        return None
    try:
        return devices(framework)[1]
    except Exception as error:
        return f"{type(error).__name__} {error}".strip().splitlines()[0]


def devices(framework):
    """The device that a framework computes on, and why not if there is none."""
    if framework == "jax":
        import with_jax as module
    else:
        import with_torch as module
    return module.device(SETTING)


def entrants(args):
    """What is timed, and with --available what is left out and why."""
    both = [(framework, rule) for framework in args.frameworks for rule in args.rules]
    if not args.available:
        return both, {}
    why = {entrant: missing(*entrant) for entrant in both}
    return [entrant for entrant in both if why[entrant] is None], {
        " ".join(entrant): reason for entrant, reason in why.items() if reason
    }


def about(args):
    known, left_out = entrants(args)
    frameworks = sorted({used(entrant)[0] for entrant, _ in known})
    version = lambda package: importlib.metadata.version(package)
    packages = {package: version(package) for framework in frameworks for package in PACKAGES[framework] if has(package)}
    on = {framework: devices(framework)[0] for framework in frameworks if framework != "natgrad"}
    answer = {"device": SETTING.device, "precision": SETTING.precision, "devices": on, "packages": packages}
    print(json.dumps({**answer, "python": platform.python_version(), "entrants": known, "left_out": left_out}))


def has(package):
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


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
                    known = entrants(args)[0] if name in WORKLOADS else []
                    answer = {"entrants": [entrant for entrant in known if applies(entrant[0], name)]}
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
    entrants = [(framework, rule) for framework in frameworks for rule in rules if applies(framework, name)]
    steps = {entrant: build(entrant[0], name, entrant[1]) for entrant in entrants}
    counts = {entrant: max(1, math.ceil(TURN_SECONDS / seconds(step, 1))) for entrant, step in steps.items()}
    times, begin = {entrant: [] for entrant in entrants}, time.perf_counter()
    while min(map(len, times.values())) < 6 or time.perf_counter() - begin < budget:
        for entrant in random.sample(entrants, len(entrants)):
            times[entrant].append(seconds(steps[entrant], counts[entrant]) / counts[entrant])
    for framework, rule in entrants:
        own, first = times[framework, rule], times[framework, rules[0]]
        same = times[entrants[0][0], rule]
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
        new = list(compare(name, args.frameworks, args.rules, args.time))
        rows += new
        for row in new:
            step, ratio, same = row["step_ms"], row["ratio"], row["ratio_to_framework"]
            print(
                f"{name} {row['framework']} {row['rule']}: {step['median']:.1f} ms, ratio to {args.rules[0]} "
                f"{ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}), to {args.frameworks[0]}'s {row['rule']} "
                f"{same['median']:.3f} ({same['low']:.3f} to {same['high']:.3f})",
                flush=True,
            )
        gc.collect()
    if args.json:
        frameworks = sorted({used(name)[0] for name in args.frameworks})
        packages = [package for framework in frameworks for package in PACKAGES[framework]]
        made_by = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
        on = {devices(framework)[0] for framework in frameworks if framework != "natgrad"} or {SETTING.device}
        machine = f"{platform.machine()}, {args.threads} threads, on {', '.join(sorted(on))} in {SETTING.precision}"
        report = {"made_by": made_by, "machine": machine, "rows": rows}
        with open(args.json, "w") as file:
            json.dump(report, file, indent=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="cores that each framework may use")
    parser.add_argument("--plugin", help="a PJRT plugin for JAX to run on")
    words = lambda text: text.split(",")
    ways = ", ".join(f"{framework}-{way}" for framework, known in WAYS.items() for way in known) + ", torch-compile-bf16"
    parser.add_argument("--frameworks", type=words, default=["jax", "torch"], help=f"of {', '.join(FRAMEWORKS)}, each as it comes or {ways}")
    parser.add_argument("--rules", type=words, default=list(RULES), help="ratios are to the first")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("f32", "tf32", "bf16"), default="f32", help="of products; bf16 is the model's own type")
    parser.add_argument("--available", action="store_true", help="leave out what this Python or machine has not")
    parser.add_argument("--tiny", action="store_true", help="small models under the same names, to try the program")
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="time steps in turns")
    runs.add_argument("--workloads", type=words, default=[name for name in WORKLOADS if name != "gpt2-small-8x1024"])
    runs.add_argument("--time", type=float, default=60, metavar="SECONDS", help="for each workload")
    runs.add_argument("--json", metavar="FILE")
    runs.set_defaults(command=run)
    commands.add_parser("serve", help="time what standard input asks for").set_defaults(command=serve)
    commands.add_parser("about", help="what would be timed, as JSON").set_defaults(command=about)
    args = parser.parse_args()
    global SETTING
    SETTING = Setting(args.device, args.precision)
    try:
        for name in args.frameworks:
            used(name)
    except ValueError as error:
        parser.error(f"--frameworks {error}")
    if "natgrad" in args.frameworks and SETTING != Setting():
        parser.error("--frameworks natgrad: it is timed on the CPU in f32 alone")
    if args.plugin and args.device != "cpu":
        parser.error("--plugin is for the CPU: JAX finds its own plugin for a GPU")
    if args.tiny:
        WORKLOADS.update(workloads.TINY)

    # XLA's and PyTorch's pools are as large as the cores that the process may use, so this comes before either is loaded.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    # JAX would take three quarters of the GPU at once, and others compute on it in their turns.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if args.plugin:
        import with_jax

        with_jax.use_plugin(args.plugin)
    args.command(args)


if __name__ == "__main__":
    main()
