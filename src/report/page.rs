//! One self-contained HTML page.

use super::{Bars, Table};

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
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
pre, code { font: 13px/1.45 ui-monospace, monospace; } pre { overflow-x: auto; background: var(--soft); padding: .8rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.legend span { margin-right: 1rem; } .legend i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .35rem .8rem; align-items: center; margin: .8rem 0; }
.bar { display: flex; height: 1.3rem; background: var(--soft); } .bar span { display: block; height: 100%; }
svg { max-width: 100%; height: auto; background: #fff; }
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

    /// Adds lines as they are.
    pub fn lines(&mut self, text: &str) {
        self.body.push_str(&format!("<pre>{}</pre>\n", escape(text)));
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) {
        self.body.push_str(&table.html());
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

    /// Adds a script, which runs when the page is there.
    pub fn script(&mut self, script: &str) {
        self.script.push_str(script);
    }

    /// The page as it is written to a file.
    pub fn render(&self) -> String {
        let title = escape(&self.title);
        let script = match self.script.is_empty() {
            true => String::new(),
            false => format!("<script>\n{}</script>\n", self.script),
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
}
