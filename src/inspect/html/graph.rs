//! The graph of a program's stages as a drawing: state above, data and results beside, arrows for what is in memory.

use crate::inspect::edges::{Edge, Node};
use crate::inspect::report::Report;
use crate::inspect::view::si;
use crate::report::escape;

/// Sizes of the drawing.
const BOX: (f64, f64) = (118.0, 80.0);
const GAP: f64 = 74.0;
const LEFT: f64 = 30.0;
const STATE: (f64, f64) = (14.0, 34.0);
const ROW: f64 = 132.0;
/// How deep the arc of an edge is, times the root of the boxes that it passes.
const DEPTH: f64 = 52.0;

/// The least scale of the drawing that can be read; on a smaller page it scrolls.
const SMALLEST: f64 = 0.8;

/// Classes of arrows, which have the colours of the page's styles.
const READ: &str = "read";
const WRITTEN: &str = "written";
const BETWEEN: &str = "between";
/// Edges of a smaller share of the largest one's bytes have no label.
const LABELLED: f64 = 1e-3;

/// The drawing, in an element that scrolls.
pub(super) fn svg(report: &Report) -> String {
    let nodes = row(report);
    let at = |node: Node| nodes.iter().position(|&other| other == node);
    let x = |index: usize| LEFT + index as f64 * (BOX.0 + GAP);
    let width = x(nodes.len()) - GAP + LEFT;
    let (mut arrows, mut labels) = (String::new(), String::new());
    let mut depth: f64 = 0.0;

    let most = report.edges.iter().map(|edge| edge.bytes).max().unwrap_or(0).max(1);
    let is_labelled = |edge: &Edge| edge.bytes as f64 >= LABELLED * most as f64;
    let tell = |x: f64, y: f64, anchor: &str, edge: &Edge| match is_labelled(edge) {
        true => label(x, y, anchor, edge.bytes),
        false => String::new(),
    };
    let thickness = |bytes: u64| 1.0 + 7.0 * (bytes as f64 / most as f64).sqrt();
    for edge in &report.edges {
        match (edge.from, edge.to) {
            (Node::State, to) => {
                if let Some(to) = at(to) {
                    let x = x(to) + BOX.0 * 0.3;
                    let (from, to) = (STATE.0 + STATE.1, ROW);
                    arrows += &arrow(&format!("M{x} {from}L{x} {to}"), READ, thickness(edge.bytes), edge);
                    labels += &tell(x - 6.0, 0.5 * (from + to) + 4.0, "end", edge);
                }
            }
            (from, Node::State) => {
                if let Some(from) = at(from) {
                    let x = x(from) + BOX.0 * 0.7;
                    let (from, to) = (ROW, STATE.0 + STATE.1);
                    arrows += &arrow(&format!("M{x} {from}L{x} {to}"), WRITTEN, thickness(edge.bytes), edge);
                    labels += &tell(x + 6.0, 0.5 * (from + to) + 4.0, "start", edge);
                }
            }
            (from, to) => {
                let (Some(from), Some(to)) = (at(from), at(to)) else { continue };
                let (low, high) = (from.min(to), from.max(to));
                if high == low + 1 && from < to {
                    let (left, right, y) = (x(from) + BOX.0, x(to), ROW + BOX.1 / 2.0);
                    arrows +=
                        &arrow(&format!("M{left} {y}L{right} {y}"), BETWEEN, thickness(edge.bytes), edge);
                    labels += &tell(0.5 * (left + right), y - 9.0, "middle", edge);
                } else {
                    let span = (high - low) as f64;
                    let bottom = ROW + BOX.1;
                    let deep = DEPTH * span.sqrt();
                    depth = depth.max(deep);
                    let (start, end) = (x(from) + BOX.0 * 0.6, x(to) + BOX.0 * 0.4);
                    // The middle of a cubic curve is at three quarters of its handles' depth.
                    let handle = bottom + deep / 0.75;
                    let path = format!("M{start} {bottom}C{start} {handle} {end} {handle} {end} {bottom}");
                    arrows += &arrow(&path, BETWEEN, thickness(edge.bytes), edge);
                    labels += &tell(0.5 * (start + end), bottom + deep + 14.0, "middle", edge);
                }
            }
        }
    }

    let mut boxes = format!(
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" class=\"box\"/>\
         <text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">state, carried from step to step</text>",
        STATE.0,
        width - 2.0 * LEFT,
        STATE.1,
        width / 2.0,
        STATE.0 + 22.0
    );
    for (index, &node) in nodes.iter().enumerate() {
        boxes += &node_box(report, node, x(index));
    }
    let height = ROW + BOX.1 + depth + 30.0;
    format!(
        "<div class=\"graph\"><svg style=\"max-width:{width}px;min-width:{}px\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"stages and what flows between them\">\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"9\" markerHeight=\"9\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#888\"/></marker></defs>\
         {arrows}{boxes}{labels}</svg></div>\n",
        SMALLEST * width
    )
}

/// The boxes from left to right: what comes in, the phases in the order of a step, what goes out.
fn row(report: &Report) -> Vec<Node> {
    let touches = |node: Node| report.edges.iter().any(|edge| edge.from == node || edge.to == node);
    let phases = report.stages.iter().map(|cost| Node::Phase(cost.name));
    let ends = [Node::Data].into_iter().chain(phases).chain([Node::Results]);
    ends.filter(|&node| matches!(node, Node::Phase(_)) || touches(node)).collect()
}

fn node_box(report: &Report, node: Node, x: f64) -> String {
    let cost = report.stages.iter().find(|cost| Node::Phase(cost.name) == node);
    let lines = match cost {
        Some(cost) if cost.kernels == 0 => {
            vec![format!("inside {} kernels", cost.shared), "of others".to_owned()]
        }
        Some(cost) => vec![
            format!("{} kernel{}", cost.kernels, if cost.kernels == 1 { "" } else { "s" }),
            si(cost.bytes as f64, "B"),
            si(cost.flops as f64, "flop"),
        ],
        None => Vec::new(),
    };
    let class = match cost {
        Some(cost) if cost.kernels == 0 => "box away",
        Some(_) | None => "box",
    };
    let middle = x + BOX.0 / 2.0;
    let top = if lines.is_empty() { ROW + BOX.1 / 2.0 + 5.0 } else { ROW + 18.0 };
    let mut drawn = format!(
        "<rect x=\"{x}\" y=\"{ROW}\" width=\"{}\" height=\"{}\" rx=\"6\" class=\"{class}\"/>\
         <text class=\"name\" x=\"{middle}\" y=\"{top}\" text-anchor=\"middle\">{}</text>",
        BOX.0,
        BOX.1,
        escape(&node.to_string())
    );
    for (index, line) in lines.iter().enumerate() {
        let y = top + 17.0 * (index + 1) as f64;
        drawn += &format!("<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escape(line));
    }
    drawn
}

fn arrow(path: &str, class: &str, thickness: f64, edge: &Edge) -> String {
    let Edge { from, to, arrays, bytes } = edge;
    format!(
        "<path d=\"{path}\" fill=\"none\" class=\"{class}\" stroke-opacity=\".7\" stroke-width=\"{thickness:.1}\" \
         marker-end=\"url(#tip)\"><title>{from} to {to}: {arrays} arrays, {bytes} bytes</title></path>"
    )
}

fn label(x: f64, y: f64, anchor: &str, bytes: u64) -> String {
    let text = si(bytes as f64, "B");
    format!("<text x=\"{x}\" y=\"{y}\" class=\"label\" text-anchor=\"{anchor}\">{text}</text>")
}
