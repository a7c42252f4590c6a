"""The report, as JSON and as Markdown: written anew after every command, whole or not at all."""

import json
import os
import threading
import time

PASSED, FAILED, CUT, NOT_RUN, RUNNING = "passed", "FAILED", "cut short", "not run", "running"

# Commands that went wrong, with their last lines: so many of a section.
SHOWN = 5


class Section:
    """What a part of the day found."""

    def __init__(self, name, about):
        self.name, self.about = name, about
        self.status, self.seconds = NOT_RUN, 0.0
        self.commands, self.tables, self.problems, self.notes = [], [], [], []

    def problem(self, text):
        self.problems.append(text)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def table(self, title, columns):
        rows = []
        self.tables.append({"title": title, "columns": columns, "rows": rows})
        return rows

    def as_json(self):
        return {
            "name": self.name,
            "about": self.about,
            "status": self.status,
            "seconds": round(self.seconds, 1),
            "problems": self.problems,
            "notes": self.notes,
            "tables": [table for table in self.tables if table["rows"]],
            "commands": self.commands,
        }


class Report:
    def __init__(self, folder, about):
        self.folder, self.about = folder, about
        self.sections, self.ended = [], None
        self.begin, self.lock = time.monotonic(), threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def write(self):
        with self.lock:
            seconds = round(time.monotonic() - self.begin, 1)
            sections = [section.as_json() for section in self.sections]
            value = {**self.about, "seconds": seconds, "ended": self.ended, "sections": sections}
            replace(self.folder / "report.json", json.dumps(value, indent=2) + "\n")
            replace(self.folder / "report.md", markdown(value))


def replace(path, text):
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    os.replace(beside, path)


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def markdown(value):
    lines = ["# natgrad on a GPU" if value["device"] == "cuda" else f"# natgrad, rehearsed on the {value['device']}", ""]
    for name in ("made", "natgrad", "plugin", "on", "machine", "python"):
        if value.get(name):
            lines.append(f"- {name}: {cell(value[name])}")
    lines += [f"- command: `{value['command']}`", f"- {value['seconds']:.0f} s of {value['minutes']:g} minutes; {value['ended'] or 'still running'}", ""]
    lines += ["| section | result | seconds | commands |", "|---|---|---:|---:|"]
    for section in value["sections"]:
        lines.append(f"| {section['name']} | {section['status']} | {section['seconds']:.0f} | {len(section['commands'])} |")
    for section in value["sections"]:
        lines += ["", f"## {section['name']}: {section['status']}", "", section["about"]]
        for table in section["tables"]:
            columns = table["columns"]
            lines += ["", f"{table['title']}:", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
            lines += ["| " + " | ".join(cell(entry) for entry in row) + " |" for row in table["rows"]]
        if section["problems"] or section["notes"]:
            lines.append("")
        lines += [f"- **{cell(problem)}**" for problem in section["problems"]]
        lines += [f"- {cell(note)}" for note in section["notes"]]
        wrong = [command for command in section["commands"] if not command["meant"] and (command["exit"] != 0 or command["stopped"])]
        for command in wrong[:SHOWN]:
            how = command["stopped"] or f"exit {command['exit']}"
            lines += ["", f"`{command['command']}`: {how} after {command['seconds']:.1f} s", "", "```text"]
            lines += [command["tail"].replace("```", "'''"), "```"]
        if len(wrong) > SHOWN:
            lines += ["", f"{len(wrong) - SHOWN} more such commands are in report.json."]
    return "\n".join(lines) + "\n"
