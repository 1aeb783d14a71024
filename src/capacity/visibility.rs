/// Notices when bytes that were closed as written do not show up in the readings: the sign of a service that breaks the
/// write-buffer contract, of a probe that watches the wrong disk, or of a lag that is set too short.
#[derive(Debug, Default)]
pub(crate) struct Visibility {
    credited: u64,
    /// How much the readings fell. What is deleted in the meantime hides some of it, so only a gross mismatch counts.
    fallen: u64,
}

/// Bytes to look at before judging.
const WINDOW: u64 = 256 << 20;

/// Closed bytes of which less than a sixteenth showed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unseen {
    pub(crate) closed: u64,
    pub(crate) seen: u64,
}

impl Visibility {
    /// Takes in what one sample gave back and how the reading moved.
    pub(crate) fn observe(&mut self, given_back: u64, before: u64, after: u64) -> Option<Unseen> {
        self.credited = self.credited.saturating_add(given_back);
        self.fallen = self.fallen.saturating_add(before.saturating_sub(after));
        if self.credited < WINDOW {
            return None;
        }
        let Self { credited, fallen } = std::mem::take(self);
        (fallen < credited / 16).then_some(Unseen {
            closed: credited,
            seen: fallen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_once_a_window_when_nothing_shows() {
        let mut visibility = Visibility::default();
        let found: Vec<_> = (0..512)
            .filter_map(|_| visibility.observe(1 << 20, 1 << 40, 1 << 40))
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found.first(),
            Some(&Unseen {
                closed: WINDOW,
                seen: 0
            })
        );
    }

    #[test]
    fn the_sixteenth_part_is_something() {
        let fallen = |seen| Visibility::default().observe(WINDOW, WINDOW, WINDOW - seen);
        assert_eq!(fallen(WINDOW / 16), None);
        let (closed, seen) = (WINDOW, WINDOW / 16 - 1);
        assert_eq!(fallen(seen), Some(Unseen { closed, seen }));
    }

    #[test]
    fn stays_silent_when_writes_show_even_in_part() {
        let mut visibility = Visibility::default();
        for _ in 0..2048 {
            assert_eq!(visibility.observe(1 << 20, 1 << 40, (1 << 40) - (1 << 19)), None);
        }
    }
}
