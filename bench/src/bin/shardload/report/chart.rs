//! One chart as inline SVG: its frame, its axes, and marks upon them.
//!
//! Written by hand rather than by a crate: `plotters` has fixed colours, which cannot follow the
//! reader's light or dark scheme, and no titles that show when one points at a mark.
//!
//! Never: holds a colour or a size of type; `page.css` does. Never writes text that it has not
//! escaped.

use super::axis::Axis;
use std::fmt::Write;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// A chart that is being drawn.
#[derive(Debug)]
pub(super) struct Chart {
    x: Axis,
    y: Axis,
    marks: String,
    tips: String,
}

impl Chart {
    pub(super) fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, marks: String::new(), tips: String::new() }
    }

    pub(super) fn x_end(&self) -> f64 {
        self.x.end()
    }

    fn left(&self, x: f64) -> f64 {
        LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, y: f64) -> f64 {
        TOP + (1.0 - self.y.place(y)) * (HEIGHT - TOP - BOTTOM)
    }

    /// From the bottom up to this value.
    pub(super) fn bar(&mut self, class: &str, from: f64, to: f64, value: f64) {
        let (left, right, top) = (self.left(from), self.left(to), self.top(value));
        // A hair of ground between two bars, unless they are hairs themselves.
        let gap = if right - left > 6.0 { 1.0 } else { 0.0 };
        let (width, height) = ((right - left - gap).max(0.5), HEIGHT - BOTTOM - top);
        rect(&mut self.marks, class, left + gap / 2.0, top, width, height, "");
    }

    /// A line through these points; a break where one is missing.
    pub(super) fn line(
        &mut self,
        class: &str,
        points: impl IntoIterator<Item = Option<(f64, f64)>>,
    ) {
        let mut path = String::new();
        let mut pen = 'M';
        for point in points {
            let Some((x, y)) = point else {
                pen = 'M';
                continue;
            };
            let _ = write!(path, "{pen}{:.1} {:.1}", self.left(x), self.top(y));
            pen = 'L';
        }
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
        }
    }

    /// All across, at this value.
    pub(super) fn level(&mut self, class: &str, value: f64) {
        let end = self.x_end();
        self.line(class, [Some((0.0, value)), Some((end, value))]);
    }

    /// At the foot of the chart: something happened here.
    pub(super) fn flag(&mut self, class: &str, from: f64, to: f64) {
        let (middle, foot) = ((self.left(from) + self.left(to)) / 2.0, HEIGHT - BOTTOM);
        let (left, right, tip) = (middle - 4.0, middle + 4.0, foot - 7.0);
        let _ = write!(
            self.marks,
            "<path class=\"{class}\" d=\"M{left:.1} {foot:.1}L{right:.1} {foot:.1}L{middle:.1} \
             {tip:.1}Z\"/>"
        );
    }

    /// What is said when one points at this part of the chart.
    pub(super) fn tip(&mut self, from: f64, to: f64, text: &str) {
        let (left, right) = (self.left(from), self.left(to));
        let height = HEIGHT - TOP - BOTTOM;
        let title = format!("<title>{}</title>", escape(text));
        rect(&mut self.tips, "tip", left, TOP, (right - left).max(0.5), height, &title);
    }

    /// The whole of it. `about` is for those who cannot see it.
    pub(super) fn svg(self, about: &str, x_name: &str, y_name: &str) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escape(about)
        );
        let (foot, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (value, label) in &self.y.ticks {
            let (at, label) = (self.top(*value), escape(label));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{end}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                at + 3.5
            );
        }
        for (value, label) in &self.x.ticks {
            let (at, label) = (self.left(*value), escape(label));
            let _ = write!(
                svg,
                "<path class=\"tick\" d=\"M{at:.1} {foot}v4\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{label}</text>",
                foot + 16.0
            );
        }
        let _ = write!(
            svg,
            "<g>{}</g><path class=\"axis\" d=\"M{LEFT} {foot}H{end}\"/>\
             <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"name\" transform=\"translate(11 {:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{}</text><g>{}</g></svg>",
            self.marks,
            (LEFT + end) / 2.0,
            HEIGHT - 6.0,
            escape(x_name),
            (TOP + foot) / 2.0,
            escape(y_name),
            self.tips
        );
        svg
    }
}

fn rect(to: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64, inner: &str) {
    let _ = write!(
        to,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\">{inner}</rect>"
    );
}

/// Text as it may stand in HTML, between tags and in an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // A control character is no character of HTML.
            _ if letter.is_control() && letter != '\n' => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::show;

    fn chart() -> Chart {
        Chart::new(Axis::of_seconds(10.0), Axis::from_zero(100.0, show::short))
    }

    /// All numbers of all attributes of this name.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let opening = format!(" {attribute}=\"");
        let parts = svg.split(&opening).skip(1);
        parts.map(|part| part.split('"').next().unwrap_or("").parse().expect(part)).collect()
    }

    #[test]
    fn nothing_is_drawn_outside_the_frame() {
        let mut chart = chart();
        chart.bar("s1", 0.0, 1.0, 1e9);
        chart.bar("s1", 9.5, 99.0, -5.0);
        chart.bar("s1", f64::NAN, 3.0, f64::NAN);
        chart.tip(0.0, 99.0, "all");
        let svg = chart.svg("a chart", "x", "y");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        for (place, size, limit) in [("x", "width", WIDTH), ("y", "height", HEIGHT)] {
            let rects = svg.split("<rect").skip(1).filter_map(|rest| rest.split('>').next());
            let rects: String = rects.collect();
            for (from, size) in numbers(&rects, place).into_iter().zip(numbers(&rects, size)) {
                assert!(from >= 0.0 && size >= 0.0 && from + size <= limit, "{from} {size}: {svg}");
            }
        }
    }

    #[test]
    fn a_line_breaks_where_a_point_is_missing() {
        let mut chart = chart();
        chart.line("s1", [Some((0.0, 1.0)), Some((1.0, 2.0)), None, Some((3.0, 4.0))]);
        chart.line("s2", [None, None]);
        let marks = chart.marks;
        assert_eq!((marks.matches('M').count(), marks.matches('L').count()), (2, 1), "{marks}");
        assert!(!marks.contains("s2"), "{marks}");
    }

    #[test]
    fn what_is_written_is_escaped() {
        let mut chart = chart();
        chart.tip(0.0, 1.0, "</title><script>alert(1)</script>");
        let svg = chart.svg("\"><script>", "<x>", "'&\u{1b}");
        assert!(
            !svg.contains("<script") && svg.contains("&lt;x&gt;") && svg.contains("&#39;&amp;")
        );
        assert!(!svg.contains('\u{1b}'), "{svg}");
    }
}
