use super::Floor;

/// How full a resource is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum State {
    /// Room enough.
    #[default]
    Ok,
    /// In the warning band above the floor: nothing is refused yet.
    Near,
    /// At or below the floor: nothing is admitted until there is clearly room again.
    Full,
}

impl State {
    /// The stable name, for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Near => "near",
            Self::Full => "full",
        }
    }
}

/// Where the states begin and end, as distances above the floor. Given as distances, an exit cannot lie below its entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bands {
    /// `Near` begins this far above the floor.
    pub(crate) near: Floor,
    /// A state ends this far above where it began.
    pub(crate) exit: Floor,
}

impl Default for Bands {
    fn default() -> Self {
        Self {
            near: Floor::percent(5.0).at_most(10 << 30),
            exit: Floor::percent(1.0).at_most(1 << 30),
        }
    }
}

/// Better readings in a row that it takes to leave a state.
const DWELL: u8 = 2;

/// Follows the state of one resource from reading to reading.
#[derive(Debug, Default)]
pub(crate) struct StateMachine {
    state: State,
    better_readings: u8,
}

impl StateMachine {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Takes in a reading; tells the former state if it changed. Getting worse counts at once, getting better only past
    /// the exit threshold and for [`DWELL`] readings in a row.
    pub(crate) fn observe(&mut self, available: u64, total: u64, floor: u64, bands: &Bands) -> Option<State> {
        let near = floor.saturating_add(bands.near.of(total));
        let gap = bands.exit.of(total);
        let below = |entry: u64, is_in: bool| available <= entry || (is_in && available < entry.saturating_add(gap));
        let target = if below(floor, self.state == State::Full) {
            State::Full
        } else if below(near, self.state >= State::Near) {
            State::Near
        } else {
            State::Ok
        };
        if target >= self.state {
            self.better_readings = 0;
        } else {
            self.better_readings += 1;
            if self.better_readings < DWELL {
                return None;
            }
            self.better_readings = 0;
        }
        let before = std::mem::replace(&mut self.state, target);
        (before != target).then_some(before)
    }
}

impl StateMachine {
    /// Looks again because the thresholds changed: neither a former state's exit nor its dwell counts. Tells the former
    /// state if it changed.
    pub(crate) fn reassess(&mut self, available: u64, total: u64, floor: u64, bands: &Bands) -> Option<State> {
        let before = std::mem::take(self).state;
        self.observe(available, total, floor, bands);
        (before != self.state).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANDS: Bands = Bands {
        near: Floor::bytes(50),
        exit: Floor::bytes(10),
    };

    fn states(readings: &[u64]) -> Vec<State> {
        let mut machine = StateMachine::default();
        readings
            .iter()
            .map(|&available| {
                machine.observe(available, 1000, 100, &BANDS);
                machine.state()
            })
            .collect()
    }

    #[test]
    fn names_are_stable() {
        assert_eq!(
            [State::Ok, State::Near, State::Full].map(State::name),
            ["ok", "near", "full"]
        );
    }

    #[test]
    fn enters_at_once_and_leaves_after_two_better_readings() {
        use State::{Full, Near, Ok};
        assert_eq!(states(&[200, 150, 100]), [Ok, Near, Full]);
        assert_eq!(states(&[100, 109, 109, 110, 110]), [Full, Full, Full, Full, Near]);
        assert_eq!(states(&[100, 500, 500]), [Full, Full, Ok]);
        assert_eq!(states(&[150, 159, 159, 160, 160]), [Near, Near, Near, Near, Ok]);
        assert_eq!(states(&[500, 0]), [Ok, Full]);
    }

    #[test]
    fn flapping_around_a_threshold_is_one_transition() {
        let mut machine = StateMachine::default();
        let changes = (0..1000)
            .filter(|i| machine.observe(99 + i % 3, 1000, 100, &BANDS).is_some())
            .count();
        assert_eq!(changes, 1);
    }

    #[test]
    fn new_thresholds_count_at_once() {
        let mut machine = StateMachine::default();
        machine.observe(90, 1000, 100, &BANDS);
        assert_eq!(machine.reassess(90, 1000, 80, &BANDS), Some(State::Full));
        assert_eq!(machine.state(), State::Near);
        assert_eq!(machine.reassess(90, 1000, 10, &BANDS), Some(State::Near));
        assert_eq!(machine.reassess(90, 1000, 10, &BANDS), None);
    }

    #[test]
    fn a_single_better_reading_does_not_count() {
        let mut machine = StateMachine::default();
        machine.observe(0, 1000, 100, &BANDS);
        for _ in 0..10 {
            assert_eq!(machine.observe(900, 1000, 100, &BANDS), None);
            assert_eq!(machine.observe(0, 1000, 100, &BANDS), None);
        }
        assert_eq!(machine.state(), State::Full);
    }
}
