//! What `natgrad eval` prints of runs that predict tokens, and their page.

use std::ops::Range;

use super::show::{Row, draw, joined, panel, percent, plain, reliability, table_of};
use super::text::{Judged, TextRun};
use crate::cli::Failure;
use crate::eval::{Detection, TextDetections, TextEvaluation};
use crate::posterior::TokenScores;
use crate::report::{Corner, Line, Page, Stroke, TextTable, escape};
use crate::text::Tokenizer;

/// Points of a line along a text.
const POINTS: usize = 100;
/// Tokens of a text that is shown in colours.
const SHOWN: usize = 800;
/// The percentile of mutual information that has full colour.
const STANDS_OUT: usize = 97;
/// The most tokens that one character's bytes come in.
const OF_A_CHARACTER: usize = 4;

/// Styles of text in colours.
const STYLES: &str = "\
.passage { font: 14px/1.7 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 60rem; }
.surprise span { background: rgba(222, 84, 44, var(--a)); } .weights span { background: rgba(38, 112, 214, var(--a)); }
";

fn foreign(judged: &Judged, score: fn(&TextEvaluation) -> Option<f64>) -> Option<String> {
    judged.foreign.as_ref().and_then(|(evaluation, _)| score(evaluation)).map(plain)
}

fn detection(
    judged: &Judged,
    by: fn(&TextDetections) -> Option<Detection>,
    part: fn(&Detection) -> f64,
) -> Option<String> {
    judged.foreign.as_ref().and_then(|(_, found)| by(found)).as_ref().map(part).map(plain)
}

const SCORES: [Row<Judged>; 6] = [
    ("NLL of a token", |of| Some(plain(of.evaluation.nll))),
    ("perplexity", |of| Some(plain(of.evaluation.perplexity))),
    ("bits per byte", |of| of.evaluation.bits_per_byte.map(plain)),
    ("accuracy", |of| Some(percent(of.evaluation.accuracy))),
    ("among the 5 likeliest", |of| Some(percent(of.evaluation.accuracy_of_5))),
    ("ECE", |of| Some(plain(of.evaluation.ece))),
];
const ENTROPIES: [Row<Judged>; 3] = [
    ("entropy", |of| Some(plain(of.evaluation.entropy.total))),
    ("  aleatoric", |of| of.evaluation.entropy.aleatoric.map(plain)),
    ("  epistemic (mutual information)", |of| of.evaluation.entropy.epistemic.map(plain)),
];
const FOREIGN: [Row<Judged>; 10] = [
    ("OOD perplexity", |of| foreign(of, |of| Some(of.perplexity))),
    ("OOD entropy", |of| foreign(of, |of| Some(of.entropy.total))),
    ("  aleatoric", |of| foreign(of, |of| of.entropy.aleatoric)),
    ("  epistemic (mutual information)", |of| foreign(of, |of| of.entropy.epistemic)),
    ("AUROC by NLL", |of| detection(of, |by| Some(by.nll), |found| found.auroc)),
    ("AUROC by entropy", |of| detection(of, |by| Some(by.entropy), |found| found.auroc)),
    ("AUROC by mutual information", |of| detection(of, |by| by.mutual_information, |found| found.auroc)),
    ("FPR95 by NLL", |of| detection(of, |by| Some(by.nll), |found| found.fpr95)),
    ("FPR95 by entropy", |of| detection(of, |by| Some(by.entropy), |found| found.fpr95)),
    ("FPR95 by mutual information", |of| detection(of, |by| by.mutual_information, |found| found.fpr95)),
];

fn columns(found: &[TextRun]) -> Vec<(String, &Judged)> {
    found.iter().flat_map(TextRun::columns).collect()
}

/// Every score.
pub(super) fn table(found: &[TextRun]) -> TextTable {
    table_of(&columns(found), &[&SCORES, &ENTROPIES, &FOREIGN], "  ")
}

/// What was judged, and how.
pub(super) fn notes(found: &[TextRun]) -> Vec<String> {
    joined(&found.iter().map(|run| (run.name.as_str(), notes_of(run))).collect::<Vec<_>>())
}

fn notes_of(run: &TextRun) -> Vec<String> {
    let (context, stride) = (run.context, run.stride);
    let scored = |judged: &TextEvaluation| match judged.tokens {
        1 => "1 token".to_string(),
        many => format!("{many} tokens"),
    };
    let before = match context - stride + 1 {
        least if least == context => context.to_string(),
        least => format!("{least} to {context}"),
    };
    let mut notes = vec![
        format!("{} of {}, all but its first one", scored(&run.at_mean.evaluation), run.text.name),
        format!(
            "read in windows of {context} tokens that go on by {stride} (--stride): each is scored once, after {before} others \
             except at the text's beginning"
        ),
    ];
    if let (Some(foreign), Some((judged, _))) = (&run.foreign, &run.at_mean.foreign) {
        let passages =
            if stride == 1 { "tokens".to_string() } else { format!("passages of {stride} tokens") };
        notes.push(format!(
            "of another kind (OOD): {} of {}; {passages} are told apart",
            scored(judged),
            foreign.name
        ));
    }
    if let Some(token) = run.ignore {
        notes.push(format!(
            "token {token} is not scored (`loss.ignore`), so there are no bits per byte, and no text in colours"
        ));
    } else if run.tokenizer.is_none() {
        notes.push("no tokenizer is known, so there are no bits per byte".to_string());
    }
    if run.averaged.is_none() {
        notes.push("no posterior, so nothing is averaged, and there is no mutual information".to_string());
    }
    notes
}

/// The page.
pub(super) fn page(found: &[TextRun]) -> Result<Page, Failure> {
    let names: Vec<String> = found.iter().map(|run| run.folder.display().to_string()).collect();
    let mut page = Page::new(&format!("Evaluation of {}", names.join(", ")));
    page.styles(STYLES);
    page.remarks(&notes(found));
    let columns = columns(found);
    page.section("Scores");
    page.table(&table_of(&columns, &[&SCORES, &ENTROPIES], "\u{a0}\u{a0}"));
    if found.iter().any(|run| run.foreign.is_some()) {
        page.section("Another text");
        page.paragraph(
            "AUROC: how probable it is that a passage of the other text has the larger score of two; 1 is best, and 0.5 is \
             a guess. FPR95: the part of the run's passages that is taken for the other text's where 95 % of those are found.",
        );
        page.table(&table_of(&columns, &[&FOREIGN], "\u{a0}\u{a0}"));
    }
    page.section("Reliability");
    page.paragraph(
        "How often the likeliest token comes next, by how likely it is said to be. On the diagonal it comes as often as is \
         said; below it predictions are too sure.",
    );
    let bins = columns.iter().map(|(name, of)| (name.clone(), of.evaluation.reliability.as_slice()));
    draw(&mut page, &reliability(bins));
    page.section("Along the text");
    let line = |colour: usize, name: &str, numbers: &mut dyn Iterator<Item = f64>| Line {
        name: name.to_string(),
        points: along(&numbers.collect::<Vec<f64>>()),
        colour,
        stroke: Stroke::Plain,
    };
    let each = || columns.iter().enumerate();
    let nll = each().map(|(at, (name, of))| line(at, name, &mut of.scores.logs.iter().map(|log| -log)));
    let x = "token of the text";
    draw(&mut page, &panel(x, "NLL of a token in nats", Corner::UpperRight, nll.collect()));
    let averaged = each().filter(|(_, (_, of))| of.evaluation.entropy.epistemic.is_some());
    let epistemic: Vec<Line> =
        averaged.map(|(at, (name, of))| line(at, name, &mut of.scores.epistemic())).collect();
    if !epistemic.is_empty() {
        draw(&mut page, &panel(x, "mutual information in nats", Corner::UpperRight, epistemic));
    }
    for run in found {
        if let (Some(tokenizer), None) = (&run.tokenizer, run.ignore) {
            let columns = run.columns();
            let name = columns.last().map_or(run.name.as_str(), |(name, _)| name);
            page.section(&format!("The first tokens: {name}"));
            page.html(&passages(run, tokenizer)?);
        }
        if let Some(continuations) = &run.continuations {
            page.section(&format!("Continuations: {}", run.name));
            page.html(&continuations.html());
        }
    }
    Ok(page)
}

/// Means along a text, by the place of the middle token of each.
fn along(numbers: &[f64]) -> Vec<(f64, f64)> {
    let together = numbers.len().div_ceil(POINTS).max(1);
    let parts = numbers.chunks(together).zip((0u32..).map(f64::from));
    let point = |(part, number): (&[f64], f64)| {
        let count = part.len() as f64;
        (number * together as f64 + 1.0 + 0.5 * (count - 1.0), part.iter().sum::<f64>() / count)
    };
    parts.map(point).collect()
}

/// The first tokens in colours: by surprise, and where predictions are averaged by what the weights leave open.
fn passages(run: &TextRun, tokenizer: &Tokenizer) -> Result<String, Failure> {
    let tokens = run.text.tokens.text(0, SHOWN + 1).map_err(Failure::usage)?;
    let pieces = pieces(tokenizer, &tokens)?;
    let judged = run.best();
    let scores = &judged.scores;
    // As surprising as if all tokens were equally likely.
    let even = (run.vocabulary.max(2) as f64).ln();
    let mut html = "<p>By surprise: the darker, the less likely a token was; no colour is certainty, full colour is one \
                    chance in as many as there are tokens, or less. Each says its numbers under the pointer.</p>\n"
        .to_string();
    let nll = |tokens: Range<usize>| -scores.logs[tokens].iter().sum::<f64>();
    html.push_str(&passage("surprise", &pieces, scores, &|tokens| nll(tokens) / even));
    if judged.evaluation.entropy.epistemic.is_some() {
        let epistemic: Vec<f64> = scores.epistemic().collect();
        let mut shown = epistemic[..epistemic.len().min(SHOWN)].to_vec();
        shown.sort_by(f64::total_cmp);
        // Few tokens stand out so far that the others would have no colour beside them.
        let most = shown[(shown.len() - 1) * STANDS_OUT / 100].max(f64::MIN_POSITIVE);
        html.push_str(&format!(
            "<p>By what the weights leave open: full colour is a mutual information of {most:.4} nats or more.</p>\n"
        ));
        let of = |tokens: Range<usize>| epistemic[tokens].iter().copied().fold(0.0, f64::max) / most;
        html.push_str(&passage("weights", &pieces, scores, &of));
    }
    Ok(html)
}

/// The texts of tokens after the first, with their places among those that are scored. Tokens that are parts of a character
/// are one piece.
fn pieces(tokenizer: &Tokenizer, tokens: &[u32]) -> Result<Vec<(Range<usize>, String)>, Failure> {
    let mut pieces = Vec::new();
    let mut begin = 1;
    while begin < tokens.len() {
        let before = &tokens[begin - 1..begin];
        let mut end = begin + 1;
        let mut text = tokenizer.decode_after(before, &tokens[begin..end])?;
        while text.contains(char::REPLACEMENT_CHARACTER) && end < tokens.len() && end - begin < OF_A_CHARACTER
        {
            end += 1;
            text = tokenizer.decode_after(before, &tokens[begin..end])?;
        }
        pieces.push((begin - 1..end - 1, text));
        begin = end;
    }
    Ok(pieces)
}

fn passage(
    kind: &str,
    pieces: &[(Range<usize>, String)],
    scores: &TokenScores,
    depth: &dyn Fn(Range<usize>) -> f64,
) -> String {
    let epistemic: Vec<f64> = scores.epistemic().collect();
    let span = |(tokens, text): &(Range<usize>, String)| {
        let p = scores.logs[tokens.clone()].iter().sum::<f64>().exp();
        let (first, depth) = (tokens.start, depth(tokens.clone()).clamp(0.0, 1.0));
        // What cannot be seen has no colour.
        let shown = text.replace('\n', "\u{21b5}\n");
        format!(
            "<span style=\"--a:{depth:.2}\" title=\"probability {p:.4}, {} ahead, entropy {:.3}, mutual information {:.3}\">{}</span>",
            scores.ahead[first],
            scores.entropy[first],
            epistemic[first],
            escape(&shown)
        )
    };
    let spans: String = pieces.iter().map(span).collect();
    format!("<div class=\"passage {kind}\">{spans}</div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Characters;

    #[test]
    fn lines_along_a_text_have_few_points() {
        assert_eq!(along(&[1.0, 3.0]), [(1.0, 1.0), (2.0, 3.0)]);
        let numbers: Vec<f64> = (0..250).map(|at| f64::from(at % 3)).collect();
        let points = along(&numbers);
        assert_eq!((points.len(), points[0], points[83]), (84, (2.0, 1.0), (250.0, 0.0)));
    }

    #[test]
    fn text_is_shown_piece_by_piece() {
        let tokenizer = Tokenizer::Characters(Characters::of("<ab\n"));
        let tokens = tokenizer.encode("ab<\n").unwrap();
        let pieces = pieces(&tokenizer, &tokens).ok().unwrap();
        let wanted = [(0..1, "b".to_string()), (1..2, "<".to_string()), (2..3, "\n".to_string())];
        assert_eq!(pieces, wanted);
        let scores = TokenScores {
            logs: vec![0.5f64.ln(), 0.25f64.ln(), 0.0],
            largest: vec![0.5; 3],
            ahead: vec![0.0; 3],
            entropy: vec![1.0; 3],
            aleatoric: vec![0.75; 3],
        };
        let html = passage("surprise", &pieces, &scores, &|tokens| 0.4 * tokens.end as f64);
        let title =
            |p: &str| format!("title=\"probability {p}, 0 ahead, entropy 1.000, mutual information 0.250\"");
        for (depth, p, text) in
            [("0.40", "0.5000", "b"), ("0.80", "0.2500", "&lt;"), ("1.00", "1.0000", "\u{21b5}\n")]
        {
            let span = format!("<span style=\"--a:{depth}\" {}>{text}</span>", title(p));
            assert!(html.contains(&span), "no {span} in {html}");
        }
    }
}
