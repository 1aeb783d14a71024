//! Bars: who has which part.

use std::fmt::{self, Display, Write};

use super::Escaped;
use crate::{ResourceReport, format_size, observe::TenantRow};

/// The width of a bar in its own units.
const WIDTH: f64 = 1000.0;

/// What a resource is made of, in a bar and in figures. Free space is first held, then unseen, then headroom, and the
/// floor is last, so that the bar fills up from the left and the floor is what must not be touched.
pub(super) fn resource_bar(page: &mut String, report: &ResourceReport) -> fmt::Result {
    let used = report.total.saturating_sub(report.available);
    let headroom = report.headroom.max(0).unsigned_abs();
    // When less than the floor is free, that is what is left of it.
    let floor = report.floor.min(report.available);
    let is_bounded = report.total < u64::MAX;
    let parts = [
        ("used", "used", used),
        ("held", "held by uploads", report.held),
        ("unseen", "written, not seen yet", report.unseen),
        ("headroom", "may be stored now", headroom),
        ("floor", "must stay free", floor),
    ];
    if is_bounded {
        let words: Vec<_> = parts
            .iter()
            .map(|(_, name, bytes)| format!("{name} {}", format_size(*bytes)))
            .collect();
        write!(
            page,
            "<svg class=\"bar\" viewBox=\"0 0 {WIDTH} 10\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{}\">",
            words.join(", ")
        )?;
        // Readings and holds are of slightly different moments, so the parts may not add up to the last byte.
        let sum: f64 = parts.iter().map(|(_, _, bytes)| *bytes as f64).sum();
        let mut from = 0.0;
        for (class, _, bytes) in parts {
            let width = WIDTH * bytes as f64 / sum.max(1.0);
            if width > 0.0 {
                write!(
                    page,
                    "<rect class=\"{class}\" x=\"{from:.2}\" y=\"0\" width=\"{width:.2}\" height=\"10\"/>"
                )?;
            }
            from += width;
        }
        page.push_str("</svg>\n");
    }
    page.push_str("<dl class=\"legend\">\n");
    for (class, name, bytes) in parts {
        let figure = match class {
            "used" if !is_bounded => continue,
            "headroom" if report.headroom < 0 => format!("{} short", format_size(report.headroom.unsigned_abs())),
            "headroom" if report.closed => format!("0 B of {}", format_size(bytes)),
            "floor" => format_size(report.floor),
            _ => format_size(bytes),
        };
        writeln!(
            page,
            "<div><dt><span class=\"key {class}\" aria-hidden=\"true\"></span>{name}</dt><dd>{figure}</dd></div>"
        )?;
    }
    if is_bounded {
        writeln!(
            page,
            "<div class=\"total\"><dt>in all</dt><dd>{}</dd></div>",
            format_size(report.total)
        )?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

/// A row with a tenant's share.
pub(super) fn tenant_bar(page: &mut String, row: &TenantRow) -> fmt::Result {
    let name = if row.name.is_empty() { "(no name)" } else { &row.name };
    let of = match row.limit {
        Some(limit) => format!("{} of {}", format_size(row.used), format_size(limit)),
        None => format!("{}, no limit", format_size(row.used)),
    };
    let fullness = row.fullness();
    let class = if fullness >= 1.0 {
        "refused"
    } else if fullness >= 0.9 {
        "floor"
    } else {
        "used"
    };
    writeln!(
        page,
        "<tr><th scope=\"row\">{}</th><td class=\"wide\">{}</td><td>{of}</td></tr>",
        Escaped(name),
        Share(fullness, class),
    )
}

/// A small bar for a share of 0 to 1.
pub(super) struct Share(pub(super) f64, pub(super) &'static str);

impl Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(share, class) = self;
        let width = (share * WIDTH).clamp(0.0, WIDTH);
        write!(
            f,
            "<svg class=\"share\" viewBox=\"0 0 {WIDTH} 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"{class}\" width=\"{width:.1}\" height=\"10\"/></svg>"
        )
    }
}
