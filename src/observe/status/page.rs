//! The page for people. Everything is in it; bars and charts are drawings, so that it needs no style that a strict policy
//! would forbid, and no script.

mod bar;
mod chart;
mod words;

use std::{
    fmt::{self, Display, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use self::{
    bar::{resource_bar, tenant_bar},
    chart::chart,
};
use crate::{
    LayerReport, Readiness, ResourceReport, State, format_size,
    observe::{LedgerFigures, Snapshot, TenantRow, history::Point},
};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Nothing from elsewhere, and of what is inline only what is told here by its digest.
pub(super) const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-S3eOsAd0Sl/e2sPhu44sbY7VyR+klGWRLrGvBqELmyY='; \
    script-src 'sha256-IK9fN2R/QlCRh9pTXIfeQ+80XfQdcoZ1K4Fj6Lztz5Y='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn write(snapshot: &Snapshot, history: &[Point], shows_tenants: bool) -> String {
    let mut page = String::with_capacity(STYLE.len() + SCRIPT.len() + (32 << 10));
    // Writing to a string does not fail.
    let _ = write_to(&mut page, snapshot, history, shows_tenants);
    page
}

fn write_to(page: &mut String, snapshot: &Snapshot, history: &[Point], shows_tenants: bool) -> fmt::Result {
    let readiness = snapshot.readiness;
    let (word, sentence) = words::readiness(snapshot);
    let colour = match readiness {
        Readiness::Ready => "%231a7f4b",
        Readiness::Near => "%23b26a00",
        Readiness::Full => "%23c62828",
    };
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{word} · storage</title>\n\
         <link rel=\"icon\" href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>\
         <circle cx='4' cy='4' r='4' fill='{colour}'/></svg>\">\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )?;
    write!(
        page,
        "<header class=\"{name}\">\n<h1><span class=\"dot\" aria-hidden=\"true\"></span>{word}</h1>\n\
         <p>{sentence}</p>\n<p class=\"when\">As of <time>{time} UTC</time><span class=\"stale\"> – \
         no answer since</span></p>\n</header>\n",
        name = readiness.name(),
        time = Clock(snapshot.at),
    )?;
    for (place, (name, report)) in snapshot.resources.iter().enumerate() {
        resource(page, name, report, history, place)?;
    }
    for (name, report) in &snapshot.layers {
        layer(page, name, report, snapshot.layers.len() > 1)?;
    }
    if let Some(ledger) = &snapshot.ledger {
        tenants(page, ledger, &snapshot.fullest_tenants, shows_tenants)?;
    }
    write!(
        page,
        "<footer><p>Also as <a href=\"?format=json\">JSON</a> and <a href=\"?format=text\">Prometheus text</a>.</p>\
         </footer>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn resource(page: &mut String, name: &str, report: &ResourceReport, history: &[Point], place: usize) -> fmt::Result {
    let (state, class) = words::state(report);
    write!(
        page,
        "<section class=\"card\">\n<h2>{name} <span class=\"badge {class}\">{state}</span></h2>\n",
        name = Escaped(name),
    )?;
    if let Some(error) = &report.error {
        let time = match report.age.as_secs() {
            0 => String::new(),
            _ => format!(" for {}", words::duration(report.age)),
        };
        writeln!(page, "<p class=\"alarm\">Not measured{time}: {}</p>", Escaped(error))?;
    }
    resource_bar(page, report)?;
    chart(page, history, place)?;
    let inodes = report
        .inodes_available
        .map(|inodes| format!("{} files may still be created. ", Grouped(inodes)));
    write!(
        page,
        "<p class=\"small\">{inodes}Measured {age}{failures}.</p>\n</section>\n",
        inodes = inodes.unwrap_or_default(),
        age = words::ago(report.age),
        failures = match report.probe_failures {
            0 => String::new(),
            1 => ", one measurement failed so far".to_owned(),
            many => format!(", {} measurements failed so far", Grouped(many)),
        },
    )
}

fn layer(page: &mut String, name: &str, report: &LayerReport, is_one_of_many: bool) -> fmt::Result {
    let counts = if report.report_only {
        &report.would_be_refused
    } else {
        &report.refused
    };
    write!(page, "<section class=\"card\">\n<h2>Requests")?;
    if is_one_of_many || name != "default" {
        write!(page, " <span class=\"of\">{}</span>", Escaped(name))?;
    }
    if report.report_only {
        page.push_str(" <span class=\"badge near\">report-only</span>");
    }
    page.push_str("</h2>\n");
    if report.report_only {
        page.push_str("<p>Nothing is refused; what would be is counted here.</p>\n");
    }
    write!(
        page,
        "<dl class=\"counts\">\n<div><dt>admitted</dt><dd>{}</dd></div>\n<div><dt>{}</dt><dd>{}</dd></div>\n\
         <div><dt>of those mid‑stream</dt><dd>{}</dd></div>\n<div><dt>full after all</dt><dd>{}</dd></div>\n\
         </dl>\n",
        Grouped(report.admitted),
        if report.report_only {
            "would be refused"
        } else {
            "refused"
        },
        Grouped(counts.total()),
        Grouped(counts.mid_stream()),
        Grouped(report.late_failures),
    )?;
    let mut by_reason: Vec<_> = counts.by_reason().filter(|(_, count)| *count > 0).collect();
    by_reason.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    if by_reason.is_empty() {
        page.push_str("<p class=\"small\">No refusals so far.</p>\n");
    } else {
        let most = by_reason.first().map_or(1, |(_, count)| *count);
        page.push_str("<table>\n<caption>Refusals by reason</caption>\n<tbody>\n");
        for (reason, count) in by_reason {
            writeln!(
                page,
                "<tr><th scope=\"row\">{}</th><td class=\"wide\">{}</td><td>{}</td></tr>",
                words::reason(reason),
                bar::Share(count as f64 / most as f64, "refused"),
                Grouped(count),
            )?;
        }
        page.push_str("</tbody>\n</table>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

fn tenants(page: &mut String, ledger: &LedgerFigures, fullest: &[TenantRow], shows_tenants: bool) -> fmt::Result {
    write!(
        page,
        "<section class=\"card\">\n<h2>Tenants <span class=\"of\">{}</span></h2>\n",
        Grouped(ledger.tenants)
    )?;
    if ledger.engine_reachable == Some(false) {
        page.push_str("<p class=\"alarm\">The engine behind the ledger does not answer.</p>\n");
    }
    if let Some(leased) = ledger.leased {
        write!(page, "<p class=\"small\">{} leased here", format_size(leased))?;
        if let Some(latency) = ledger.engine_latency {
            write!(page, ", the last answer took {}", words::duration(latency))?;
        }
        page.push_str(".</p>\n");
    }
    if shows_tenants && !fullest.is_empty() {
        page.push_str("<table class=\"tenants\">\n<caption>The fullest</caption>\n<tbody>\n");
        for row in fullest {
            tenant_bar(page, row)?;
        }
        page.push_str("</tbody>\n</table>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// A text that stands for itself in HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number with its thousands set apart.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place) % 3 == 0 {
                // A thin space that does not break.
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// The time of day.
struct Clock(SystemTime);

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Ok => "ready",
        State::Near => "near",
        _ => "full",
    }
}
