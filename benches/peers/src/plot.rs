//! Bars, as SVG that can be read on light and on dark paper.

use std::fmt::Write;

#[derive(Clone)]
pub struct Bar {
    pub group: String,
    pub label: String,
    pub value: f64,
    pub is_ours: bool,
    pub is_logarithmic: bool,
}

const WIDTH: f64 = 800.0;
const LABELS: f64 = 290.0;
const FIGURES: f64 = 80.0;
const ROW: f64 = 22.0;
const HEAD: f64 = 26.0;

pub fn plot(title: &str, bars: &[Bar]) -> String {
    let groups = 1 + bars.windows(2).filter(|pair| pair[0].group != pair[1].group).count();
    let height = HEAD + groups as f64 * HEAD + bars.len() as f64 * ROW + 8.0;
    let length = |bar: &Bar| {
        let value = bar.value.max(0.0);
        if bar.is_logarithmic { (1.0 + value).ln() } else { value }
    };
    let longest = bars.iter().map(length).fold(1e-9, f64::max);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{title}</title>\n\
         <style>text{{fill:#222}}.ours{{fill:#2a78b8}}.other{{fill:#9a9a9a}}\
         @media (prefers-color-scheme:dark){{text{{fill:#ddd}}.ours{{fill:#5aa9e6}}.other{{fill:#777}}}}</style>\n\
         <text x=\"0\" y=\"16\" font-weight=\"bold\">{title}</text>\n"
    );
    let mut y = HEAD;
    let mut group = "";
    for bar in bars {
        if bar.group != group {
            group = &bar.group;
            y += HEAD;
            let _ = writeln!(
                svg,
                "<text x=\"0\" y=\"{}\" font-style=\"italic\">{}</text>",
                y - 8.0,
                escaped(group)
            );
        }
        let wide = length(bar) / longest * (WIDTH - LABELS - FIGURES);
        let class = if bar.is_ours { "ours" } else { "other" };
        let figure = match bar.value.abs() {
            value if value >= 100.0 => format!("{:.0}", bar.value),
            value if value >= 10.0 => format!("{:.1}", bar.value),
            _ => format!("{:.2}", bar.value),
        };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"{class}\" x=\"{LABELS}\" y=\"{}\" \
             width=\"{wide:.1}\" height=\"{}\"/><text x=\"{:.1}\" y=\"{}\">{figure}</text>",
            LABELS - 8.0,
            y + 14.0,
            escaped(&bar.label),
            y + 2.0,
            ROW - 6.0,
            LABELS + wide + 6.0,
            y + 14.0,
        );
        y += ROW;
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
