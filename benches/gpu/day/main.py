"""The command: its options, the machine that it is on, and the sections one after another."""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

from . import report as words
from .commands import Commands, OutOfTime, Stopped
from .report import Report, Section
from .sections import Context, rehearsed, sections

SECTION_SECONDS = 180
# Problems of a section on the screen; the report has all.
SHOWN = 3
ROOT = Path(__file__).resolve().parents[3]


def arguments():
    parser = argparse.ArgumentParser(
        prog="run",
        description="Tries natgrad on an NVIDIA GPU, section by section, and writes report.md and report.json as it goes.",
        epilog=f"Sections, in their order: {', '.join(sections())}. A name such as `compare` is all that begin with it.",
    )
    add = parser.add_argument
    add("--natgrad", type=Path, default=ROOT / "natgrad", metavar="BINARY", help="the program [default: natgrad beside benches/]")
    add("--plugin", type=Path, metavar="PATH", help="the PJRT plugin, or natgrad's folder of it")
    add("--python", metavar="PYTHON", help="a Python whose JAX, PyTorch and CUDA plugin are used")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="[default: cuda]")
    add("--minutes", type=float, default=9.5, help="what all may take [default: 9.5]")
    add("--only", metavar="A,B", help="these sections alone")
    add("--out", type=Path, default=Path("gpu-report"), metavar="FOLDER", help="for report and logs [default: gpu-report]")
    add("--cache", type=Path, metavar="FOLDER", help="NATGRAD_CACHE [default: OUT/cache, on the CPU natgrad's own]")
    add("--data", type=Path, default=ROOT / "packages", metavar="FOLDER", help="packages of natgrad's cache to use [default: packages beside benches/]")
    add("--executable", type=Path, metavar="FILE", help="what `natgrad compile` made for this GPU [default: ahead.natgrad beside benches/, if it is there]")
    add("--frameworks", default="jax,torch", metavar="A,B", help="the other frameworks to compare with [default: jax,torch]")
    add("--no-peers", action="store_true", help="leave JAX and PyTorch out")
    add("--rehearse", action="store_true", help="small sizes, to try the script itself")
    args = parser.parse_args()
    if not args.natgrad.is_file():
        parser.error(f"--natgrad {args.natgrad}: no such file")
    if args.minutes <= 0:
        parser.error(f"--minutes {args.minutes:g}: must be above 0")
    if args.plugin and not args.plugin.exists():
        parser.error(f"--plugin {args.plugin}: no such file or folder")
    if args.python and not shutil.which(args.python):
        parser.error(f"--python {args.python}: no such program")
    if args.device == "cuda" and not (args.plugin or args.python):
        parser.error("a GPU needs --plugin PATH or --python PYTHON")
    if args.executable and not args.executable.is_file():
        parser.error(f"--executable {args.executable}: no such file")
    known = sections()
    chosen = {name: known[name] for name in rehearsed()} if args.rehearse else known
    if args.only:
        wanted = args.only.split(",")
        for name in wanted:
            if not any(matches(name, section) for section in known):
                parser.error(f"--only {name}: no such section: {', '.join(known)}")
        chosen = {section: work for section, work in known.items() if any(matches(name, section) for name in wanted)}
    args.natgrad, args.out = args.natgrad.resolve(), args.out.resolve()
    packed = ROOT / "ahead.natgrad"
    args.executable = args.executable or (packed if packed.is_file() and not args.rehearse else None)
    return args, chosen


def matches(name, section):
    return section == name or section.startswith(name + "-")


def plugin_file(path):
    """The plugin in natgrad's folder of it; a file is one itself."""
    if path.is_file():
        return path.resolve()
    found = sorted(path.glob("**/xla_cuda_plugin.so")) + sorted(path.glob("*.so"))
    return found[0].resolve() if found else None


def environment(args):
    env = dict(os.environ)
    cache = args.cache or (args.out / "cache" if args.device == "cuda" else None)
    if cache:
        cache = cache.resolve()
        env["NATGRAD_CACHE"] = str(cache)
        (cache / "packages").mkdir(parents=True, exist_ok=True)
        for package in sorted(args.data.glob("*")) if args.data.is_dir() else []:
            if not (cache / "packages" / package.name).exists():
                shutil.copytree(package, cache / "packages" / package.name)
    wheels = sorted((ROOT / "wheels").glob("*.whl"))
    if wheels:
        # A wheel of Python alone is imported as it is.
        paths = [str(wheel) for wheel in wheels] + [env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env


def device(day):
    """The machine, the plugin, and what other frameworks its Python has."""
    args, about, env = day.args, day.report.about, day.commands.env
    done = day.natgrad("version", ["--version"])
    about["natgrad"] = done.stdout.strip() or None
    if args.device == "cuda" and shutil.which("nvidia-smi"):
        asked = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        about["on"] = day.run("nvidia-smi", ["nvidia-smi", *asked]).stdout.strip() or None
    if args.plugin:
        found = plugin_file(args.plugin)
        if found is None:
            day.section.problem(f"--plugin {args.plugin}: no xla_cuda_plugin.so in it")
        else:
            env["NATGRAD_PJRT_PLUGIN"], about["plugin"] = str(found), str(found)
    elif args.device == "cuda":
        done = day.natgrad("plugin of Python", ["plugin", "install", "cuda13", "--from-python", shutil.which(args.python)])
        found = re.search(r"cuda13 is (\S.*) from now on: (/.*)$", done.stdout + done.stderr, re.MULTILINE)
        if found:
            about["plugin"] = f"{found[1]}, {found[2]}"
        listed = found[2] if found else None
        if listed is None:
            listed = plugin_of(day, args.python)
            if listed:
                day.section.note(f"natgrad did not take it by itself, so NATGRAD_PJRT_PLUGIN={listed}")
                env["NATGRAD_PJRT_PLUGIN"], about["plugin"] = listed, listed
        if listed:
            day.natgrad("the plugin", ["plugin"], env={"NATGRAD_PJRT_PLUGIN": listed})
    if args.plugin or args.device == "cpu":
        day.natgrad("the plugin", ["plugin"])
    if args.python and not args.no_peers:
        peers(day)


def plugin_of(day, python):
    """The path of JAX's CUDA plugin in a Python, found without natgrad."""
    code = "import glob, sysconfig; print(*glob.glob(sysconfig.get_paths()['purelib'] + '/jax_plugins/xla_cuda1*/xla_cuda_plugin.so'))"
    found = day.run("look for the plugin", [python, "-c", code]).stdout.split()
    return found[-1] if found else None


def peers(day):
    """Finds out what JAX and PyTorch can do here, and how `compare` calls them."""
    args = day.args
    steps = [args.python, str(ROOT / "benches" / "external" / "steps.py"), "--available", "--device", args.device]
    steps += ["--frameworks", args.frameworks]
    steps += ["--threads", str(os.cpu_count() or 2), *(["--tiny"] if args.rehearse else [])]
    done = day.run("other frameworks", [*steps, "about"])
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    on = ", ".join(f"{framework} on {name}" for framework, name in found["devices"].items())
    day.report.about["python"] = f"{found['python']}; {packages or 'neither JAX nor PyTorch'}" + (f"; {on}" if on else "")
    for entrant, reason in found["left_out"].items():
        day.section.note(f"left out: {entrant}: {reason}")
    if any(" " in word for word in steps):
        day.section.problem(f"JAX and PyTorch are left out: a path has a space: {shlex.join(steps)}")
    elif found["entrants"]:
        day.peers = lambda precision: " ".join([*steps, "--precision", precision, "serve"])


def run_section(day, section, work):
    day.section, day.commands.section_end = section, time.monotonic() + SECTION_SECONDS
    section.status, begin = words.RUNNING, time.monotonic()
    print(f"{section.name} ...", flush=True)
    day.report.write()
    try:
        try:
            work(day)
            section.status = words.FAILED if section.problems else words.PASSED
        except OutOfTime as over:
            section.status = words.CUT
            section.problem(f"cut short: {over}")
        except Stopped as asked:
            section.status = words.CUT
            section.problem(f"cut short: {asked}")
            raise
        except Exception as error:
            # A fault here must not cost the sections that follow.
            section.status = words.FAILED
            section.problem(f"{type(error).__name__}: {error}")
    finally:
        section.seconds = time.monotonic() - begin
        day.report.write()
        print(f"{section.name}: {section.status}, {section.seconds:.0f} s", flush=True)
        for problem in section.problems[:SHOWN]:
            print(f"  {problem}", flush=True)
        if len(section.problems) > SHOWN:
            print(f"  and {len(section.problems) - SHOWN} more", flush=True)


def main():
    args, chosen = arguments()
    env = environment(args)
    report = Report(
        args.out,
        {
            "made": time.strftime("%Y-%m-%d %H:%M"),
            "command": shlex.join(sys.argv),
            "device": args.device,
            "rehearsal": args.rehearse,
            "minutes": args.minutes,
            "machine": f"{platform.platform()}, {os.cpu_count()} processors",
        },
    )
    commands = Commands(args.out / "logs", env, time.monotonic() + 60 * args.minutes)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, commands.ask_to_stop)
    (args.out / "results").mkdir(exist_ok=True)
    day = Context(args, ROOT, commands, report)
    works = {"device": device, **chosen}
    report.sections = [Section(name, work.__doc__) for name, work in works.items()]
    asked = None
    for section in report.sections:
        try:
            commands.section_end = commands.day_end
            commands.left()
            run_section(day, section, works[section.name])
        except (OutOfTime, Stopped):
            asked = commands.stop_asked
            break
    statuses = [section.status for section in report.sections]
    left = [section.name for section in report.sections if section.status == words.NOT_RUN]
    over = f"ended by {asked.name}" if asked else "the minutes are spent" if left or words.CUT in statuses else "ended"
    report.ended = over + (f"; not run: {', '.join(left)}" if left else "")
    report.write()
    print(f"{report.ended}; {args.out / 'report.md'}", flush=True)
    if asked:
        return 128 + asked
    # Sections that had no minutes left are no failure; one that its own three minutes cut short is.
    spent = time.monotonic() >= commands.day_end - 5
    failed = words.FAILED in statuses or (words.CUT in statuses and not spent)
    return 1 if failed else 0
