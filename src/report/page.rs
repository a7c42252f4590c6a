//! One self-contained HTML page.

use super::{Bars, TextTable};

/// A page being written. It asks for nothing from elsewhere: styles, drawings and scripts are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    title: String,
    body: String,
    styles: String,
    script: String,
}

const STYLES: &str = "\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
pre, code { font: 13px/1.45 ui-monospace, monospace; } pre { overflow-x: auto; background: var(--soft); padding: .8rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums;
  font-size: .94em; margin: .6rem 0 1rem; }
th, td { padding: .25rem .55rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child, .left { text-align: left; } td:first-child { white-space: nowrap; }
details > table { margin: .4rem 0 1rem; } summary { cursor: pointer; }
.legend span { margin-right: 1rem; } .legend i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .35rem .8rem; align-items: center; margin: .8rem 0; }
.bar { display: flex; height: 1.3rem; background: var(--soft); } .bar span { display: block; height: 100%; }
ul.remarks { font-size: .94em; padding-left: 1.2rem; }
figure { display: inline-block; margin: .4rem .8rem .4rem 0; font-size: .85em; } figure img { width: 6rem; image-rendering: pixelated; }
svg { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { body > svg { filter: invert(.93) hue-rotate(180deg); } }
";

/// Notes what goes wrong in scripts where a reader of the page, or a test, can see it.
const ERRORS: &str = "\
addEventListener(\"error\", ({ message }) => { document.documentElement.dataset.error = message; });
";

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Page {
        Page { title: title.to_string(), body: String::new(), styles: String::new(), script: String::new() }
    }

    /// Begins a section.
    pub fn section(&mut self, heading: &str) {
        self.body.push_str(&format!("<h2>{}</h2>\n", escape(heading)));
    }

    /// Adds a paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.body.push_str(&format!("<p>{}</p>\n", escape(text)));
    }

    /// Adds remarks, each on a line of its own.
    pub fn remarks(&mut self, remarks: &[String]) {
        let lines: String = remarks.iter().map(|text| format!("<li>{}</li>\n", escape(text))).collect();
        if !lines.is_empty() {
            self.html(&format!("<ul class=\"remarks\">\n{lines}</ul>\n"));
        }
    }

    /// Adds lines as they are.
    pub fn lines(&mut self, text: &str) {
        self.body.push_str(&format!("<pre>{}</pre>\n", escape(text)));
    }

    /// Adds a table.
    pub fn table(&mut self, table: &TextTable) {
        self.body.push_str(&table.html());
    }

    /// Adds a table that is shown when its title is unfolded.
    pub fn unfolding(&mut self, title: &str, table: &TextTable) {
        let title = escape(title);
        self.html(&format!("<details><summary>{title}</summary>\n{}</details>\n", table.html()));
    }

    /// Adds bars.
    pub fn bars(&mut self, bars: &Bars) {
        self.body.push_str(&bars.html());
    }

    /// Adds HTML, which must be well-formed and escaped.
    pub fn html(&mut self, html: &str) {
        self.body.push_str(html);
    }

    /// Adds styles.
    pub fn styles(&mut self, css: &str) {
        self.styles.push_str(css);
    }

    /// Adds data for scripts, as an element of this id.
    pub fn data(&mut self, id: &str, data: &serde_json::Value) {
        // Nothing in the data can end the element.
        let json = data.to_string().replace('<', "\\u003c");
        self.html(&format!("<script type=\"application/json\" id=\"{}\">{json}</script>\n", escape(id)));
    }

    /// Adds a script, which runs when the page is there.
    pub fn script(&mut self, script: &str) {
        self.script.push_str(script);
    }

    /// The page as it is written to a file.
    pub fn render(&self) -> String {
        let title = escape(&self.title);
        let script = match self.script.is_empty() {
            true => String::new(),
            false => format!("<script>\n{ERRORS}</script>\n<script>\n{}</script>\n", self.script),
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLES}{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{}{script}</body>\n</html>\n",
            self.styles, self.body
        )
    }
}

/// Text as it stands in HTML, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_for_nothing_from_elsewhere() {
        let mut page = Page::new("a < b");
        page.section("one & two");
        page.paragraph("\"quoted\"");
        let html = page.render();
        assert!(html.contains("<title>a &lt; b</title>") && html.contains("<h2>one &amp; two</h2>"));
        assert!(html.contains("<p>&quot;quoted&quot;</p>"));
        assert!(!html.contains("http") && !html.contains("<script") && !html.contains("<link"));
    }

    #[test]
    fn data_cannot_end_its_element() {
        let mut page = Page::new("data");
        page.data("names", &serde_json::json!({"name": "</script><b>"}));
        let html = page.render();
        assert!(html.contains(r#"id="names">{"name":"\u003c/script>\u003cb>"}</script>"#), "{html}");
    }
}
