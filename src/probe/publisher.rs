use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{CapacityProbe, ProbeError};
use crate::{capacity::Reading, sync::lock};

/// Hands values that arrive from elsewhere (an async task, a message, another process) to a resource as readings.
///
/// ```
/// use tower_storage_guard::{CapacityProbe, Publisher, Reading};
///
/// let (publisher, mut probe) = Publisher::new();
/// assert!(probe.measure().is_err(), "nothing is known yet");
///
/// let measurement = publisher.begin(); // before the bucket's size is asked for
/// let used = 3 << 30; // let used = bucket_size().await?;
/// measurement.publish(Reading::new(10 << 30, (10 << 30) - used));
/// assert_eq!(probe.measure().unwrap().available, 7 << 30);
/// ```
///
/// A value that is not renewed grows old, and the resource's age limit and failure policy take effect.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Mutex<Option<Published>>>,
}

/// The probe at the other end of a [`Publisher`].
#[derive(Debug)]
pub struct PublisherProbe {
    shared: Arc<Mutex<Option<Published>>>,
}

/// A measurement that has begun. Dropped without being published, it changes nothing.
#[derive(Debug)]
#[must_use = "the reading is handed over with `publish`"]
pub struct Measurement<'a> {
    publisher: &'a Publisher,
    began: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    reading: Reading,
    began: Instant,
}

impl Publisher {
    /// A publisher and the probe to build a resource with. Publish a first reading before the resource is built.
    #[must_use]
    pub fn new() -> (Self, PublisherProbe) {
        let shared = Arc::new(Mutex::new(None));
        let publisher = Self { shared: shared.clone() };
        (publisher, PublisherProbe { shared })
    }

    /// Notes that a measurement begins now. What requests finish from here on does not count as seen by it; a reading
    /// that is stamped later than it was taken would let them in twice.
    pub fn begin(&self) -> Measurement<'_> {
        Measurement {
            publisher: self,
            began: Instant::now(),
        }
    }

    /// Publishes a reading that was taken just now. Where taking it lasts, use [`begin`](Self::begin).
    pub fn publish(&self, reading: Reading) {
        self.begin().publish(reading);
    }
}

impl Measurement<'_> {
    /// Hands over what was measured. A reading that began before the latest one is ignored.
    pub fn publish(self, reading: Reading) {
        let mut latest = lock(&self.publisher.shared);
        if latest.is_none_or(|latest| latest.began <= self.began) {
            *latest = Some(Published {
                reading,
                began: self.began,
            });
        }
    }
}

impl CapacityProbe for PublisherProbe {
    fn measure(&mut self) -> Result<Reading, ProbeError> {
        let latest = lock(&self.shared).ok_or_else(ProbeError::nothing_published)?;
        let age = latest.reading.age.saturating_add(latest.began.elapsed());
        Ok(latest.reading.with_age(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_as_old_as_its_beginning() {
        let (publisher, mut probe) = Publisher::new();
        let early = publisher.begin();
        let late = publisher.begin();
        late.publish(Reading::new(10, 5));
        early.publish(Reading::new(10, 9));
        let reading = probe.measure().expect("published");
        assert_eq!(
            reading.available, 5,
            "the older measurement came in last and is ignored"
        );
        let older = probe.measure().expect("published");
        assert!(older.age >= reading.age);
    }

    #[test]
    fn nothing_published_is_not_zero() {
        let (publisher, mut probe) = Publisher::new();
        drop(publisher.begin());
        let error = probe.measure().expect_err("nothing yet");
        assert_eq!(error.kind(), crate::ProbeErrorKind::NothingPublished);
    }
}
