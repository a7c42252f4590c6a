"""Time and memory of a step of AdamW against the length of the text and the vocabulary, in natgrad, JAX and PyTorch.

    venv/bin/python benches/external/scaling.py run

measures, writes the numbers to benches/lengths.json, draws them into benches/*.svg by `cargo run --example lengths`, and puts their
section into benches/SCALING.md. `page` does the last two from the numbers that are there.

The model is configs/bench/gpt-4x256.json, one row of tokens. Each number is of a process of its own, one after another, so that its
peak is its own; what does not fit into memory is not run, and says so.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workloads import Gpt, Setting

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/bench/gpt-4x256.json"
PAGE = ROOT / "benches/SCALING.md"
HEADING = "## Lengths and vocabularies"
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
VOCABULARIES = (96, 1024, 8192, 32768, 131072)
# What is not varied.
VOCABULARY, LENGTH = 96, 512
# natgrad's rules and ways, then the others'.
ENTRANTS = (
    "natgrad adamw none", "natgrad adamw cheap", "natgrad adamw blocks", "natgrad ivon cheap",
    "jax adamw", "jax-attention adamw", "torch adamw",
)  # fmt: skip
# The part of the memory that is free which a step may take.
MOST = 0.7
# Steps that are timed, at least, and so many seconds of them.
LEAST = 6


def spec(length, vocabulary):
    config = json.loads(CONFIG.read_text())["model"]
    return Gpt(config["layers"], config["heads"], config["width"], batch=1, time=length, vocab=vocabulary)


def status(field):
    """Bytes that Linux says of this process."""
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise ValueError(f"no {field} in /proc/self/status")


def free():
    for line in open("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    raise ValueError("no MemAvailable in /proc/meminfo")


class TooLarge(Exception):
    """A step needs more memory than there is for it."""


def fits(needed):
    if needed > MOST * free():
        raise TooLarge(f"takes {needed / 1e9:.1f} GB, and {free() / 1e9:.1f} GB are free")


def measured(step, seconds):
    """Milliseconds of steps, one by one: at least six, for so long; the first two do not count."""
    import steps

    step.run(2)
    times, begin = [], time.perf_counter()
    while len(times) < LEAST or time.perf_counter() - begin < seconds:
        times.append(1e3 * steps.seconds(step, 1))
    return {**steps.interval(times), "steps": len(times)}


def point(args):
    """Measures JAX or PyTorch in this process."""
    import steps

    framework, setting = steps.used(args.framework)
    steps.SETTING = Setting()
    if framework == "jax":
        import jax
        import with_jax as module

        # Its threads and their memory.
        jax.numpy.zeros(1).block_until_ready()
    else:
        import with_torch as module

        module.torch.set_num_threads(args.threads)
    before = status("VmRSS")
    begin = time.perf_counter()
    step = module.Step(spec(args.length, args.vocabulary), args.rule, setting)
    answer = {"compile_s": time.perf_counter() - begin}
    if framework == "jax":
        memory = step.step.memory_analysis()
        answer["xla_bytes"] = (
            memory.argument_size_in_bytes + memory.output_size_in_bytes
            - memory.alias_size_in_bytes + memory.temp_size_in_bytes
        )  # fmt: skip
        try:
            fits(answer["xla_bytes"])
        except TooLarge as large:
            print(json.dumps({**answer, "error": str(large)}))
            return
    answer["ms"] = measured(step, args.seconds)
    answer["resident_bytes"] = status("VmHWM") - before
    answer["parameters"] = step.parameters()
    print(json.dumps(answer))


def child(command, timeout, **options):
    """Runs a program; gives its output, and the most memory that it had."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        # In a group of its own, which ends with it.
        process = subprocess.Popen(command, stdout=out, stderr=err, text=True, process_group=0, **options)
        deadline, ended = time.monotonic() + timeout, 0
        while not ended:
            ended, code, usage = os.wait4(process.pid, os.WNOHANG)
            if not ended and time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                os.wait4(process.pid, 0)
                raise TooLarge(f"did not end in {timeout:.0f} s")
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(code)
        out.seek(0), err.seek(0)
        if process.returncode != 0:
            said = [line for line in err.read().splitlines() if "rror" in line] or [f"it ended with {process.returncode}"]
            raise RuntimeError(said[-1])
        return out.read(), 1024 * usage.ru_maxrss


def own(args, rule, remat, length, vocabulary, timeout):
    """Measures natgrad: first what memory its step takes, then the step."""
    settings = {"model.context": length, "data.context": length, "model.vocabulary": vocabulary, "step.remat": remat}
    sets = [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    with tempfile.TemporaryDirectory() as folder:
        report, cores = Path(folder) / "report.json", sorted(os.sched_getaffinity(0))[: args.threads]
        pin = {"preexec_fn": lambda: os.sched_setaffinity(0, cores)}
        as_rule = [] if rule == "ivon" else ["--set", f'rule={{"kind":"{rule}"}}']
        child([args.natgrad, "inspect", CONFIG, "--what", "memory", "--json", report, *sets, *as_rule], timeout, **pin)
        memory = json.loads(report.read_text())["memory"]["assigned"]
        xla = memory["arguments"] + memory["outputs"] - memory["aliased"] + memory["temporaries"]
        try:
            fits(xla)
        except TooLarge as large:
            return {"xla_bytes": xla, "error": str(large)}
        seconds = ["--time", str(args.seconds)]
        _, resident = child([args.natgrad, "compare", CONFIG, "--rules", rule, *seconds, "--json", report, *sets], timeout, **pin)
        row = json.loads(report.read_text())["rows"][0]
        return {
            "xla_bytes": row["peak_bytes"], "resident_bytes": resident, "compile_s": row["compile_ms"] / 1e3,
            "parameters": row["parameters"], "ms": {**row["step_ms"], "steps": row["rounds"] * row["steps_per_round"]},
        }  # fmt: skip


def one(args, entrant, length, vocabulary, timeout):
    framework, rule, *remat = entrant.split()
    if framework == "natgrad":
        return own(args, rule, remat[0], length, vocabulary, timeout)
    options = ["--framework", framework, "--rule", rule, "--length", str(length), "--vocabulary", str(vocabulary)]
    both = ["--threads", str(args.threads), "--seconds", str(args.seconds)]
    plugin = ["--plugin", args.plugin] if args.plugin else []
    out, _ = child([sys.executable, __file__, *both, *plugin, "point", *options], timeout)
    return json.loads(out.splitlines()[-1])


def processor():
    """What Linux calls it, with what makes its products fast."""
    facts = dict(line.split(":", 1) for line in open("/proc/cpuinfo").read().split("\n\n")[0].splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    return " ".join([facts.get("model name", platform.machine()), *flags])


def run(args):
    report = {"machine": f"{processor()}, {args.threads} threads", "versions": versions(args), "points": []}
    if args.go_on and args.json.exists():
        before = json.loads(args.json.read_text())
        kept = {key: before[key] for key in ("machine", "versions")}
        if kept != {key: report[key] for key in kept}:
            raise SystemExit(f"{args.json} has numbers of {kept}: measure all anew, without --go-on")
        report = before
    known = {tuple(point[key] for key in ("length", "vocabulary", "entrant")) for point in report["points"] if "ms" in point}
    begin, order = time.monotonic(), random.Random(0)
    places = {(length, VOCABULARY) for length in args.lengths} | {(LENGTH, vocabulary) for vocabulary in args.vocabularies}
    cases = [(length, vocabulary, entrant) for length, vocabulary in sorted(places) for entrant in args.entrants]
    # The short first: where time runs out, it is the longest that are left.
    order.shuffle(cases)
    cases.sort(key=lambda case: case[0] ** 2 * 1024 + case[0] * case[1])
    for length, vocabulary, entrant in [case for case in cases if case not in known]:
        left = 60 * args.minutes - (time.monotonic() - begin)
        try:
            if left < 5:
                raise TooLarge(f"was not reached in {args.minutes:.0f} minutes")
            found = one(args, entrant, length, vocabulary, left)
        except (TooLarge, RuntimeError) as error:
            found = {"error": str(error)}
        case = {"length": length, "vocabulary": vocabulary, "entrant": entrant}
        report["points"] = [point for point in report["points"] if not case.items() <= point.items()] + [{**case, **found}]
        ms = found.get("ms", {}).get("median")
        said = found.get("error") or f"{ms:.1f} ms, {peak(entrant, found) / 1e6:.0f} MB"
        print(f"{time.monotonic() - begin:6.0f} s  length {length}, vocabulary {vocabulary}, {entrant}: {said}", flush=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    page(args)


def peak(entrant, found):
    """The memory that is told of an entrant: XLA's own number of a step, or how much the process grew."""
    return found.get("xla_bytes") or found.get("resident_bytes")


def versions(args):
    from importlib.metadata import PackageNotFoundError, version

    found = {"natgrad": subprocess.run([args.natgrad, "--version"], capture_output=True, text=True).stdout.split()[-1]}
    for package in ("jax", "optax", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found


def short(count):
    return f"{count // 1024}k" if count >= 1024 else str(count)


def table(points, axis, cell):
    places = sorted({point[axis] for point in points})
    names = [name for name in ENTRANTS if any(point["entrant"] == name for point in points)]
    # Those that were asked for besides come last.
    names += sorted({point["entrant"] for point in points} - set(names))
    lines = [f"| {axis} | " + " | ".join(map(short, places)) + " |", "|---|" + "---:|" * len(places)]
    at = {(point["entrant"], point[axis]): point for point in points}
    for name in names:
        lines.append(f"| {name} | " + " | ".join(cell(at.get((name, place))) for place in places) + " |")
    return "\n".join(lines)


def milliseconds(point):
    if point is None or "ms" not in point:
        return "-"
    value = point["ms"]["median"]
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def megabytes(point):
    found = point and peak(point["entrant"], point)
    return f"{found / 1e6:.0f}" if found else "-"


def section(report):
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    config = CONFIG.relative_to(ROOT)
    parts = [
        HEADING,
        f"A step of GPT-2 of 4 layers and width 256 (`{config}`), one row of tokens, against the tokens of the row (vocabulary "
        f"{VOCABULARY}) and against the vocabulary ({LENGTH} tokens). {versions}; {report['machine']}. Made by "
        "`benches/external/scaling.py run`.",
        "Each number is of a process of its own, one after another and not in turns, and the machine's speed changes meanwhile: the lines "
        "show how cost grows. Differences of up to a third mean nothing. `none`, `cheap` and `blocks` are `step.remat`. `jax-attention` is `jax.nn.dot_product_attention`; PyTorch's "
        "attention is `scaled_dot_product_attention`. Memory of natgrad and JAX is XLA's own number: arguments, results and temporaries of a "
        "step. PyTorch has none on a CPU: there it is by how much the process grew beyond what it had after importing. The two numbers are not "
        "quite alike.",
    ]
    for axis, of in (("length", "tokens of a row"), ("vocabulary", "words")):
        still, value = ("vocabulary", VOCABULARY) if axis == "length" else ("length", LENGTH)
        points = [point for point in report["points"] if point[still] == value]
        for what, unit, cell in (("time", "ms of a step", milliseconds), ("memory", "MB", megabytes)):
            parts.append(f"### {what.capitalize()} by {axis}, {unit} by {of}")
            parts.append(f"![{what.capitalize()} of a step by {axis}]({axis}-{what}.svg)")
            parts.append(table(points, axis, cell))
    why = [
        f"- {point['entrant']}, length {point['length']}, vocabulary {point['vocabulary']}: {point['error']}."
        for point in report["points"] if "error" in point
    ]  # fmt: skip
    if why:
        parts.append("What is missing:")
        parts.append("\n".join(why))
    return "\n\n".join(parts) + "\n"


def page(args):
    report = json.loads(args.json.read_text())
    if args.draw:
        subprocess.run([*args.draw.split(), args.json, args.page.parent], check=True, cwd=ROOT)
    text = args.page.read_text() if args.page.exists() else ""
    before, found, after = text.partition(HEADING)
    rest = after.find("\n## ")
    after = after[rest + 1 :] if found and rest >= 0 else ""
    new = section(report) + ("\n" + after if after else "")
    args.page.write_text(before.rstrip("\n") + "\n\n" + new if before else new)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda text: Path(text).resolve()
    numbers, words = lambda text: [int(word) for word in text.split(",")], lambda text: text.split(",")
    parser.add_argument("--threads", type=int, default=2, help="cores that each may use")
    parser.add_argument("--seconds", type=int, default=2, help="for the steps of each point, of which there are at least six")
    parser.add_argument("--plugin", help="a PJRT plugin for JAX to run on")
    parser.add_argument("--json", type=path, default=ROOT / "benches/lengths.json")
    parser.add_argument("--page", type=path, default=PAGE)
    parser.add_argument("--draw", default="cargo run --quiet --example lengths --", help="what draws; nothing draws nothing")
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="measure all, and write the page")
    runs.add_argument("--natgrad", default="natgrad", help="the program")
    runs.add_argument("--minutes", type=float, default=20, help="after which nothing more is begun")
    runs.add_argument("--go-on", action="store_true", help="keep the numbers that are in the JSON, and measure what is missing")
    runs.add_argument("--lengths", type=numbers, default=LENGTHS)
    runs.add_argument("--vocabularies", type=numbers, default=VOCABULARIES)
    runs.add_argument("--entrants", type=words, default=ENTRANTS, help="such as 'natgrad adamw cheap,jax adamw'")
    runs.set_defaults(command=run)
    commands.add_parser("page", help="draw and write the page again").set_defaults(command=page)
    one_point = commands.add_parser("point", help="one number of JAX or PyTorch, as JSON")
    one_point.add_argument("--framework", required=True)
    one_point.add_argument("--rule", default="adamw")
    one_point.add_argument("--length", type=int, required=True)
    one_point.add_argument("--vocabulary", type=int, required=True)
    one_point.set_defaults(command=point)
    args = parser.parse_args()

    if args.command is run:
        if shutil.which(args.natgrad) is None:
            parser.error(f"--natgrad: there is no program {args.natgrad}: build it by `cargo build --release`, and name target/release/natgrad")
        unknown = [name for name in args.entrants if len(name.split()) != (3 if name.startswith("natgrad ") else 2)]
        if unknown:
            parser.error(f"--entrants: {unknown[0]} is not like 'natgrad adamw cheap' or 'jax adamw'")
    if args.command is point:
        # Pools are as large as the cores that the process may use, so this comes before anything is loaded.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
        if args.plugin:
            import with_jax

            with_jax.use_plugin(args.plugin)
    args.command(args)


if __name__ == "__main__":
    main()
