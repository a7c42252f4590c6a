//! The pages that natgrad writes, loaded in a browser where there is one.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Bench;

/// A page as it stands when its scripts have run.
#[derive(Debug)]
pub struct Loaded {
    pub dom: String,
    /// What scripts told the console.
    console: Vec<String>,
}

impl Loaded {
    /// The page in this file, with what stands behind its mark; none where there is no browser.
    pub fn of(page: &Path, mark: &str) -> Option<Loaded> {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            // Nothing but the file can be reached.
            .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"])
            .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}#{mark}", page.display()))
            .stdin(Stdio::null());
        let output = match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no chromium on the PATH to load pages in");
                return None;
            }
            output => output.unwrap(),
        };
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        Some(Loaded {
            dom: String::from_utf8(output.stdout).unwrap(),
            console: log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        })
    }

    /// Whether a script failed, as the page itself notes it and as the browser tells.
    pub fn is_broken(&self) -> (bool, bool) {
        let told = self.console.iter().any(|line| line.contains("Uncaught"));
        (self.dom.contains("data-error="), told)
    }

    /// What the page says that the search found.
    fn found(&self) -> &str {
        let rest = self.dom.split_once("id=\"found\"").unwrap().1;
        rest.split_once('>').unwrap().1.split_once('<').unwrap().0
    }

    /// The lists of operations that are shown.
    fn lists(&self) -> Vec<&str> {
        let after = self.dom.split_once("id=\"kernels\"").unwrap().1;
        let kernels = after.split_once("<h2>").unwrap().0;
        kernels.split("<pre>").skip(1).map(|rest| rest.split_once("</pre>").unwrap().0).collect()
    }

    /// The names of the kernels that are shown.
    fn kernels(&self) -> Vec<&str> {
        let kernels = self.dom.split("<details class=\"kernel\"").skip(1);
        let shown = kernels.filter(|kernel| !kernel.split_once('>').unwrap().0.contains("hidden"));
        shown.map(|kernel| kernel.split_once("<code>").unwrap().1.split_once('<').unwrap().0).collect()
    }
}

fn write_page(bench: &Bench, args: &[&str]) -> String {
    bench.ok(&[&["inspect", "run.json", "--html", "page.html"], args].concat());
    bench.read("page.html")
}

#[test]
fn a_page_is_whole_in_itself() {
    let html = write_page(&Bench::new(), &["--against-set", "rule.kind=adamw"]);
    for word in [" src=", "href=", "url(", "@import", "<link", "<iframe", "fetch("] {
        assert_eq!(html.replace("url(#tip)", "").matches(word).count(), 0, "{word}");
    }
    for section in ["Promises", "Against another program", "Kernels", "Memory", "Least times"] {
        assert!(html.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
}

#[test]
fn a_search_filters_the_kernels() {
    let bench = Bench::new();
    write_page(&bench, &[]);
    let page = bench.path("page.html");
    let Some(loaded) = Loaded::of(&page, "") else { return };
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    let all = loaded.kernels().len();
    assert!(all > 20 && loaded.found().is_empty() && loaded.lists().is_empty(), "{loaded:?}");

    let loaded = Loaded::of(&page, "q=resample%20Layers.0.weight").unwrap();
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    assert_eq!((loaded.found(), loaded.kernels().len()), (format!("1 of {all} kernels").as_str(), 1));
    // The one that is found is unfolded, and shows the hashes in it.
    assert!(
        matches!(loaded.lists()[..], [list] if list.contains("\nshift-right-logical  u32[2,8]")),
        "{loaded:?}"
    );

    // What is in fusions is searched too: the loop of each tensor makes noise, and one kernel its keys.
    let loaded = Loaded::of(&page, "q=xor").unwrap();
    assert_eq!((loaded.found(), loaded.kernels().len()), (format!("5 of {all} kernels").as_str(), 5));
    let loaded = Loaded::of(&page, "q=100%+sure").unwrap();
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    assert_eq!((loaded.found(), loaded.kernels().len()), (format!("0 of {all} kernels").as_str(), 0));
}

#[test]
fn what_is_given_stays_text() {
    let bench = Bench::new();
    let evil = "init=\"</pre></script><script>document.documentElement.dataset.error='evil'</script>\"";
    let set = ["--set", evil, "--against-set", "init=\"<img src=x onerror=alert(1)>\""];
    assert!(!write_page(&bench, &set).contains("<script>document"));
    let Some(loaded) = Loaded::of(&bench.path("page.html"), "") else { return };
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    assert!(loaded.dom.contains("&lt;/pre&gt;") && loaded.dom.contains("&lt;img src=x"), "{loaded:?}");
}

#[test]
fn a_broken_script_is_noticed() {
    let bench = Bench::new();
    let html = write_page(&bench, &[]);
    let page = bench.path("broken.html");
    for (right, wrong) in [("JSON.parse(", "JSON.prase("), ("function filter() {", "function filter( {")] {
        assert!(html.contains(right));
        bench.write("broken.html", &html.replace(right, wrong));
        let Some(loaded) = Loaded::of(&page, "q=xor") else { return };
        assert_eq!(loaded.is_broken(), (true, true), "{loaded:?}");
        assert_eq!(loaded.found(), "");
    }
}
