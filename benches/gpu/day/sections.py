"""The sections of the day, in their order."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

from .commands import OutOfTime, Stopped

# How exact products are: what is set for natgrad, under the names that benches/external has.
PRECISIONS = {
    "f32": ["step.precision=highest"],
    "tf32": ["step.precision=tf32"],
    "bf16": ["step.compute=bf16"],
}

# A rehearsal's sizes: those of TINY in benches/external/workloads.py.
TINY = {
    "mlp": ["model.sizes=[784,16,10]", "batch=8"],
    "resnet20": ["model.depth=8", "batch=2"],
    "gpt-6x384": ["model.layers=1", "model.heads=2", "model.width=16", "model.context=16", "data.context=16", "batch=1"],
}
GPT_TINY = ["model.layers=1", "model.heads=2", "model.width=16", "model.vocabulary=96", "data.encoding=characters"]
TINY["gpt2-small"] = [*GPT_TINY, "model.context=16", "data.context=16", "batch=1"]
TINY["gpt2-small-8x1024"] = [*GPT_TINY, "model.context=32", "data.context=32", "batch=2"]
# What is compared, by what it settles: before `resume`, and after it.
FIRST = [("gpt2-small", "tf32"), ("resnet20", "tf32")]
THEN = [
    ("gpt2-small", "bf16"),
    ("gpt2-small-8x1024", "bf16"),
    ("mlp", "tf32"),
    ("resnet20", "bf16"),
    ("gpt2-small-8x1024", "tf32"),
    ("gpt-6x384", "tf32"),
    ("gpt2-small", "f32"),
    ("resnet20", "f32"),
    ("mlp", "bf16"),
    ("gpt-6x384", "bf16"),
    ("mlp", "f32"),
    ("gpt-6x384", "f32"),
    ("gpt2-small-8x1024", "f32"),
]
# What a rehearsal leaves out unless --only names it: other sizes of the same commands, which take XLA longest.
NOT_REHEARSED = {(workload, precision) for workload, precision in FIRST + THEN} - {("mlp", "tf32"), ("gpt2-small", "bf16")}


class Context:
    """What sections share."""

    def __init__(self, args, root, commands, report):
        self.args, self.root, self.commands, self.report = args, root, commands, report
        self.peers = None
        self.section = None

    def run(self, name, argv, **how):
        """Runs a command, and writes down what it did; what it should not have done is a problem of the section."""
        section = self.section
        done = self.commands.run(name, argv, **how)
        section.commands.append(done.report())
        if not done.ok and not done.meant and not done.over:
            section.problem(done.trouble())
        self.report.write()
        if done.over:
            raise done.over
        return done

    def natgrad(self, name, argv, **how):
        return self.run(name, [self.args.natgrad, *argv], **how)

    def sets(self, *sets):
        return [word for text in sets for word in ("--set", text)]

    def config(self, workload):
        return self.root / "configs" / "bench" / f"{workload}.json"


def replay(day):
    """Recorded runs of the reference optimizers, through the compiled step: 1e-9 in f64, 1e-4 in f32."""
    files = sorted((day.root / "tests" / "fixtures" / "trajectories").glob("*.json.gz"))
    if not files:
        day.section.problem(f"no trajectories in {day.root}/tests/fixtures/trajectories")
        return
    rows = day.section.table(
        f"{len(files)} trajectories, the worst relative deviations", ["trajectory", "type", "params", "momentum", "hess", "result"]
    )
    on = ["--device", day.args.device]

    def one(job):
        dtype, file = job
        name = file.name.removesuffix(".json.gz")
        try:
            done = day.natgrad(f"replay {name} {dtype}", ["replay", file, "--dtype", dtype, "--json", *on])
        except (OutOfTime, Stopped) as over:
            return over
        try:
            said = json.loads(done.stdout)
            worst, result = said["worst"], "pass" if said["pass"] else "FAIL"
        except (ValueError, KeyError):
            worst, result = {}, "no result"
        rows.append([name, dtype, worst.get("params"), worst.get("momentum"), worst.get("hess"), result])
        rows.sort(key=lambda row: (row[1] != "f64", row[0]))
        return None

    # Their times do not matter, so several run at once.
    jobs = [(dtype, file) for dtype in ("f64", "f32") for file in files]
    if day.args.rehearse:
        jobs = jobs[: len(files) : 4] + jobs[-1:]
    with ThreadPoolExecutor(max(2, min(6, (os.cpu_count() or 2) // 2))) as pool:
        over = [error for error in pool.map(one, jobs) if error]
    day.report.write()
    if over:
        raise over[0]


def digits(day):
    """The default run: 5,000 digits, IVON; the scores of its 1,000 test rows beside those on the CPU."""
    known = json.loads((day.root / "benches" / "gpu" / "digits-cpu.json").read_text())
    near, length = known["near"], "rehearsal" if day.args.rehearse else "whole"
    expected = known[length]["test"]
    rows = day.section.table(
        f"on the CPU with the same seed, and within {near['accuracy']:.3f}, {near['nll']:.3f}, {near['ece']:.3f} of it",
        ["products", "scored", "accuracy", "CPU's", "NLL", "CPU's", "ECE", "CPU's", "steps/s", "result"],
    )
    for precision in ("highest",) if day.args.rehearse else ("highest", "default"):
        out = day.report.folder / "runs" / f"digits-{precision}"
        sets = day.sets(f"step.precision={precision}")
        argv = ["train", "--device", day.args.device, "--out", out, "--force", *known[length]["args"], *sets]
        done = day.natgrad(f"train digits {precision}", argv)
        if not done.ok:
            continue
        summary = json.loads((out / "summary.json").read_text())
        for scored, there in summary["test"].items():
            cpu = expected[scored]
            far = [score for score in near if abs(there[score] - cpu[score]) > near[score]]
            pairs = [value for score in ("accuracy", "nll", "ece") for value in (there[score], cpu[score])]
            rows.append([precision, scored, *pairs, summary["steps_per_second"], "far" if far else "as on the CPU"])
            if far:
                day.section.problem(f"{precision}, {scored}: {', '.join(far)} not as on the CPU")
        day.report.write()


def resume(day):
    """A run that is killed after a checkpoint and resumed must end with the state, bit by bit, of one that was not."""
    steps, every = (200, 50) if day.args.rehearse else (20_000, 1_000)
    sets = day.sets("step.deterministic=true", f"checkpoint.every_steps={every}", "evaluation.samples=2")
    if day.args.rehearse:
        sets += day.sets("model.sizes=[784,64,10]")
    train = ["train", "--device", day.args.device, "--steps", steps, "--force", *sets, "--out"]
    runs = day.report.folder / "runs"
    checkpoint = lambda name: runs / name / "checkpoint.safetensors"
    rows = day.section.table(f"checkpoints after {steps:,} steps", ["run", "SHA-256 of all tensors"])

    def sha(name):
        value = hashlib.sha256(tensors(checkpoint(name).read_bytes())).hexdigest()
        rows.append([name, value])
        day.report.write()
        return value

    if not day.natgrad("train without a break", [*train, runs / "unbroken"]).ok:
        return
    unbroken = sha("unbroken")
    if checkpoint("killed").exists():
        checkpoint("killed").unlink()
    killed = day.natgrad("train, to be killed", [*train, runs / "killed"], kill_when=lambda: step_of(checkpoint("killed")) >= every)
    if not killed.meant:
        if killed.ok:
            day.section.problem("the run ended before it could be killed")
        return
    at = step_of(checkpoint("killed"))
    resumed = day.natgrad("resume", ["train", "--device", day.args.device, "--resume", runs / "killed"])
    if not resumed.ok:
        return
    if sha("killed") == unbroken:
        day.section.note(f"the same bits, though it was killed after the checkpoint of step {at:,}")
        return
    day.section.problem("the resumed run's checkpoint differs from the unbroken run's")
    # Is it the resuming, or are no two runs the same?
    if day.natgrad("train once more without a break", [*train, runs / "again"]).ok:
        same = sha("again") == unbroken
        day.section.note("two unbroken runs " + ("agree, so resuming is at fault" if same else "differ too, so runs are not deterministic"))


def step_of(checkpoint):
    """The step of a checkpoint; -1 while there is none."""
    try:
        with open(checkpoint, "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except FileNotFoundError:
        return -1
    return json.loads(header["__metadata__"]["natgrad"])["step"]


def tensors(content):
    """A checkpoint without its notes, which have the seconds that it took: names, types, places and values of tensors."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    return json.dumps(header, sort_keys=True).encode() + content[begin:]


def ahead(day):
    """A run of programs that were compiled on another machine, by `benches/gpu/pack --executable`: nothing is compiled here."""
    file = day.args.executable
    if not file and day.args.rehearse:
        file = day.report.folder / "runs" / "step.natgrad"
        if not day.natgrad("compile", ["compile", *day.sets("model.sizes=[784,64,10]"), "--out", file]).ok:
            return
    if not file:
        day.section.note("left out: no file of executables is here")
        return
    out = day.report.folder / "runs" / "ahead"
    done = day.natgrad("train from the file", ["train", "--device", day.args.device, "--executable", file, "--steps", 200, "--out", out, "--force"])
    if not done.ok:
        return
    rows = day.section.table("200 steps", ["file", "programs compiled", "steps/s", "scored", "accuracy", "NLL"])
    summary = json.loads((out / "summary.json").read_text())
    for scored, test in summary["test"].items():
        rows.append([file.name, summary["programs_compiled"], summary["steps_per_second"], scored, test["accuracy"], test["nll"]])
    if summary["programs_compiled"]:
        day.section.problem(f"{summary['programs_compiled']} programs were compiled, and none should have been")


def compared(workload, precision):
    """The section that compares rules on a workload."""

    def section(day):
        step_ms = compare(day, workload, precision)
        inspect(day, workload, precision, step_ms)

    section.__doc__ = f"IVON and AdamW on `{workload}` in {precision}, with JAX and PyTorch where they are; and what `inspect` reads in the steps."
    return section


def arguments(day, workload, precision):
    return day.sets(*PRECISIONS[precision], *(TINY[workload] if day.args.rehearse else []))


def compare(day, workload, precision):
    """Compares in one precision, with the other frameworks if that works; gives natgrad's step times in ms, by rule."""
    rows = day.section.table(
        "step times in turns, the medians with their intervals",
        ["entrant", "step ms", "from", "to", "ratio to adamw", "from", "to", "per second", "peak MB", "compile ms"],
    )
    seconds = 1 if day.args.rehearse else 8
    out = day.report.folder / "results" / f"compare-{workload}-{precision}.json"
    argv = ["compare", day.config(workload), "--device", day.args.device, "--time", seconds, "--json", out]
    argv += arguments(day, workload, precision)
    name = f"compare {workload} {precision}"
    # By itself first: that is soon there, and with the others nothing of it is compiled again.
    done = day.natgrad(name, argv)
    step_ms = compared_rows(day, out, rows) if done.ok else {}
    if done.ok and day.peers:
        beside = out.with_name(f"compare-{workload}-{precision}-peers.json")
        argv[argv.index(out)] = beside
        if day.natgrad(f"{name} with peers", [*argv, "--with", day.peers(precision)], share=0.9).ok:
            rows.clear()
            step_ms = compared_rows(day, beside, rows)
    return step_ms


def compared_rows(day, file, rows):
    """Puts what `compare` wrote into the table; gives natgrad's step times in ms, by rule."""
    report, step_ms = json.loads(file.read_text()), {}
    for row in report["rows"]:
        rule = row["rule"]
        entrant = " ".join(word for word in (row.get("framework"), rule) if word)
        step, ratio = row["step_ms"], row["ratio"]
        if not row.get("framework"):
            step_ms[rule] = step["median"]
        through = row.get("throughput") or {}
        rate = f"{through['per_second']:,.0f} {through['unit']}" if through else None
        peak = row["peak_bytes"] / 1e6 if row.get("peak_bytes") else None
        times = [step["median"], step["low"], step["high"], ratio["median"], ratio["low"], ratio["high"]]
        rows.append([entrant, *times, rate, peak, row.get("compile_ms")])
    for control in report.get("controls", []):
        ratio = control["ratio"]
        if not ratio["low"] <= 1 <= ratio["high"]:
            day.section.note(f"adamw against itself is {ratio['median']:.3f}, so intervals are too narrow")
    day.report.write()
    return step_ms


def inspect(day, workload, precision, step_ms):
    """What `inspect` reads in XLA's program, and its least time beside the time that `compare` measured."""
    rows = day.section.table(
        "the step's program; measured over least is 1 where nothing can be faster",
        ["rule", "kernels", "MB moved", "least ms", "measured ms", "measured/least", "promises kept"],
    )
    out = day.report.folder / "results" / f"inspect-{workload}-{precision}.json"
    argv = ["inspect", day.config(workload), "--target", day.args.device, "--what", "roofline", "--json", out]
    if not day.natgrad(f"inspect {workload} {precision}", [*argv, *arguments(day, workload, precision)]).ok:
        return
    report = json.loads(out.read_text())
    verdicts = report["verdicts"]
    failed = [verdict["name"] for verdict in verdicts if not verdict["pass"]]
    kept = f"{len(verdicts) - len(failed)} of {len(verdicts)}"
    if failed:
        day.section.note(f"promises not kept: {', '.join(failed)}")
    figures = report["roofline"]["device"]["name"]
    day.section.note(f"least times are by the figures of {figures}")
    adamw = report["adamw"]
    for rule, side, kernels in (("ivon", report, len(report["kernels"])), ("adamw", adamw, adamw and adamw["kernels"])):
        if not side:
            continue
        moved = sum(stage["bytes"] for stage in side["stages"]) / 1e6
        least = side["roofline"]["seconds"] * 1e3
        measured = step_ms.get(rule)
        over = measured / least if measured and least else None
        rows.append([rule, kernels, moved, least, measured, over, kept if rule == "ivon" else None])
        if over and over < 1:
            day.section.note(f"{rule}: faster than the least time: the caches hold it, or the figures are wrong")
    day.report.write()


def sections():
    """All sections by their names, in the order of what they settle."""
    compares = lambda pairs: {section_name(*pair): compared(*pair) for pair in pairs}
    return {"replay": replay, "digits": digits, **compares(FIRST), "resume": resume, "ahead": ahead, **compares(THEN)}


def section_name(workload, precision):
    return f"compare-{workload}-{precision}"


def rehearsed():
    """The names of those that a rehearsal runs."""
    left_out = {section_name(*pair) for pair in NOT_REHEARSED}
    return [name for name in sections() if name not in left_out]
