use std::collections::VecDeque;

use super::Snapshot;

/// How things stood in the last quarter of an hour, a point every few seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Seconds since the first one.
    pub(super) second: u64,
    /// Of every resource, in the monitor's order.
    pub(super) headrooms: Vec<i64>,
    /// Requests refused so far, or that would have been.
    pub(super) refused: u64,
}

/// How far it reaches back, in seconds.
pub(super) const SPAN: u64 = 15 * 60;
/// Seconds between two points.
pub(super) const STEP: u64 = 5;

impl Point {
    pub(super) fn of(second: u64, snapshot: &Snapshot) -> Self {
        Self {
            second,
            headrooms: snapshot.resources.iter().map(|(_, report)| report.headroom).collect(),
            refused: snapshot
                .layers
                .iter()
                .map(|(_, layer)| layer.refused.total() + layer.would_be_refused.total())
                .sum(),
        }
    }
}

impl History {
    pub(super) fn push(&mut self, point: Point) {
        let now = point.second;
        self.points.push_back(point);
        // One more than fits, so that the chart's line reaches its edge.
        while self.points.get(1).is_some_and(|second| second.second + SPAN <= now) {
            self.points.pop_front();
        }
    }

    #[cfg(feature = "status")]
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_quarter_of_an_hour_and_no_more() {
        let mut history = History::default();
        for step in 0..10_000 {
            history.push(Point {
                second: step * STEP,
                headrooms: Vec::new(),
                refused: 0,
            });
        }
        assert_eq!(history.points.len() as u64, SPAN / STEP + 1);
        let oldest = history.points.front().map(|point| point.second);
        assert_eq!(oldest, Some(9_999 * STEP - SPAN));
    }
}
