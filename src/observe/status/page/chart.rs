//! The last quarter of an hour: how much more could have been stored, and when requests were refused.

use std::fmt::{self, Write};

use crate::{
    format_size,
    observe::history::{Point, SPAN},
};

const WIDTH: f64 = SPAN as f64;
const HEIGHT: f64 = 100.0;

pub(super) fn chart(page: &mut String, history: &[Point], place: usize) -> fmt::Result {
    let points: Vec<_> = history
        .iter()
        .filter_map(|point| Some((point, (*point.headrooms.get(place)?).max(0) as f64)))
        .collect();
    let Some((last, _)) = points.last() else { return Ok(()) };
    let most = points.iter().map(|(_, headroom)| *headroom).fold(1.0, f64::max);
    let x = |point: &Point| WIDTH - (last.second - point.second) as f64;
    // A tenth is left free above, so that the line is seen where it is highest.
    let y = |headroom: f64| HEIGHT * (1.0 - 0.9 * headroom / most);
    write!(
        page,
        "<figure>\n<figcaption><span>May be stored, last 15 minutes</span><span>{}up to {}</span></figcaption>\n\
         <svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\">",
        if refused_in(&points) > 0 {
            "<span class=\"key refused\" aria-hidden=\"true\"></span>refusals · "
        } else {
            ""
        },
        format_size(most as u64),
        label(&points),
    )?;
    for minutes in [5.0, 10.0] {
        let at = WIDTH - minutes * 60.0;
        write!(page, "<path class=\"grid\" d=\"M{at} 0V{HEIGHT}\"/>")?;
    }
    for (from, until) in refusing(&points) {
        write!(
            page,
            "<rect class=\"refused\" x=\"{from}\" y=\"0\" width=\"{width}\" height=\"{HEIGHT}\"/>",
            from = x(from),
            width = until.second - from.second,
        )?;
    }
    let mut line = String::new();
    for (place, (point, headroom)) in points.iter().enumerate() {
        let step = if place == 0 { 'M' } else { 'L' };
        write!(line, "{step}{:.0} {:.1}", x(point), y(*headroom))?;
    }
    if let Some((first, _)) = points.first().filter(|_| points.len() > 1) {
        write!(
            page,
            "<path class=\"area\" d=\"{line}V{HEIGHT}H{:.0}Z\"/><path class=\"line\" d=\"{line}\"/>",
            x(first)
        )?;
    }
    page.push_str(
        "</svg>\n<p class=\"axis\" aria-hidden=\"true\"><span>15 min ago</span><span>10</span>\
         <span class=\"last\"><span>5</span><span>now</span></span></p>\n</figure>\n",
    );
    Ok(())
}

fn label(points: &[(&Point, f64)]) -> String {
    let first = points.first().map_or(0.0, |(_, headroom)| *headroom);
    let last = points.last().map_or(0.0, |(_, headroom)| *headroom);
    format!(
        "from {} to {}, {} refused in that time",
        format_size(first as u64),
        format_size(last as u64),
        refused_in(points)
    )
}

/// The stretches in which requests were refused.
fn refusing<'a>(points: &[(&'a Point, f64)]) -> Vec<(&'a Point, &'a Point)> {
    let mut stretches: Vec<(&Point, &Point)> = Vec::new();
    for pair in points.windows(2) {
        let [(before, _), (after, _)] = pair else { continue };
        if after.refused == before.refused {
            continue;
        }
        match stretches.last_mut() {
            Some((_, until)) if *until == *before => *until = after,
            _ => stretches.push((before, after)),
        }
    }
    stretches
}

fn refused_in(points: &[(&Point, f64)]) -> u64 {
    let refused = |point: Option<&(&Point, f64)>| point.map_or(0, |(point, _)| point.refused);
    refused(points.last()) - refused(points.first())
}
