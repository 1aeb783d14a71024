use std::{fmt, sync::Arc, time::Duration};

use super::{LeaseSettings, LeaseStore, MeasureUsage, MissingRecord, Unreachable};

/// How a [`Ledger`](crate::Ledger) shares limits with other nodes, or keeps them over a restart: by leases out of a
/// store.
///
/// A node takes a chunk of a tenant's limit, admits requests out of it, and tells the store from time to time what was
/// stored. So a request waits for the store only when its tenant's lease is used up, and the store may be away for a
/// while. The bound: bytes stored never exceed a limit, except that
///
/// - a limit which is lowered does not take back what is stored or leased already;
/// - with [`reap_after`](Self::reap_after), a node that stood still for longer may still spend the lease that was given
///   to others;
/// - an engine that loses its latest writes can give out again what was leased or reported in them: at most the chunks
///   and requests under way of all nodes. It knows better after their next [heartbeat](Self::ttl). Nodes repeat what they
///   stored for a tenant for three times the `ttl`; what they reported longer ago, an engine that loses that as well knows
///   again when somebody [measures](crate::Ledger::scan);
/// - a request that stores more than it had reserved is charged with what it stored.
///
/// Near a limit chunks get smaller, so that all of it stays usable; what other nodes hold idle comes back with their next
/// heartbeat.
#[must_use = "give it to `LedgerBuilder::leasing`"]
pub struct Leasing {
    pub(in crate::tenant) store: Box<dyn LeaseStore>,
    pub(in crate::tenant) settings: LeaseSettings,
}

impl Leasing {
    /// Leases out of this store.
    pub fn new(store: impl LeaseStore + 'static) -> Self {
        Self {
            store: Box::new(store),
            settings: LeaseSettings {
                node: Arc::from(""),
                is_anonymous: true,
                chunk: 64 << 20,
                ttl: Duration::from_secs(20),
                heartbeat: Duration::from_secs(5),
                give_back_after: 1,
                forget_after: 12,
                is_shared: true,
                reap_after: None,
                patience: Duration::from_secs(1),
                unreachable: Unreachable::default(),
                missing: MissingRecord::default(),
            },
        }
    }

    /// Leases out of a store that no other node uses, such as a file: it hears once a second of what was stored, and
    /// leases lie idle for a minute before they go back.
    pub fn alone(store: impl LeaseStore + 'static) -> Self {
        let mut leasing = Self::new(store).node("local");
        leasing.settings.is_shared = false;
        leasing.settings.heartbeat = Duration::from_secs(1);
        leasing.settings.give_back_after = 60;
        leasing.settings.forget_after = 0;
        leasing
    }

    /// Names this node: the same after a restart, another for every process that runs at the same time, at most 200
    /// bytes. A process that starts under the name of one that died takes over what that one had leased, and counts it as
    /// stored until [somebody measures](crate::Ledger::scan). Without a name, what a killed process had leased is lost to
    /// the tenants until [`reap_after`](Self::reap_after).
    pub fn node(mut self, name: impl AsRef<str>) -> Self {
        self.settings.node = name.as_ref().into();
        self.settings.is_anonymous = false;
        self
    }

    /// Sets how many bytes to lease beyond what is needed; at most 1 TiB. Near a limit it is less. 0 asks the store about
    /// each request: exact, and slow. Default: 64 MiB.
    pub const fn chunk(mut self, bytes: u64) -> Self {
        self.settings.chunk = bytes;
        self
    }

    /// Sets for how long a lease is good: 100 ms to 1 day. Every quarter of that a node tells what was stored and gives
    /// back what lies idle. Default: 20 s.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self.settings.heartbeat = Duration::from_nanos((ttl.as_nanos() / 4) as u64);
        self
    }

    /// Lets leases that ended longer ago than this be given to others: of nodes that are gone for good, or stand still. A
    /// node stops using a lease at four fifths of its time. Default: never, so that no byte is given out twice.
    pub const fn reap_after(mut self, grace: Duration) -> Self {
        self.settings.reap_after = Some(grace);
        self
    }

    /// Sets for how long a request waits for the store: at least 1 ms. Default: 1 s.
    pub const fn wait_at_most(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Sets what becomes of requests that need more than is leased while the store does not answer. Default: 503.
    pub const fn on_unreachable(mut self, policy: Unreachable) -> Self {
        self.settings.unreachable = policy;
        self
    }

    /// Sets what a tenant is taken to have stored of whom the store has no record. Default:
    /// [`MissingRecord::StartAtZero`].
    pub fn on_missing_record(mut self, policy: MissingRecord) -> Self {
        self.settings.missing = policy;
        self
    }

    /// Measures the tenants of whom the store has no record: [`MissingRecord::Measure`].
    pub fn measure_missing(self, measure: impl MeasureUsage + 'static) -> Self {
        self.on_missing_record(MissingRecord::Measure(Arc::new(measure)))
    }

    /// The setting that makes no sense, its value, and what to do.
    pub(in crate::tenant) fn flaw(&self) -> Option<(&'static str, String, &'static str)> {
        let settings = &self.settings;
        if !settings.is_anonymous && !(1..=200).contains(&settings.node.len()) {
            let length = format!("{} bytes", settings.node.len());
            return Some(("node", length, "give a name of 1 to 200 bytes"));
        }
        if settings.chunk > 1 << 40 {
            return Some(("chunk", settings.chunk.to_string(), "give at most 1 TiB"));
        }
        if !(Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&settings.ttl) {
            return Some(("ttl", format!("{:?}", settings.ttl), "give a time from 100 ms to 1 day"));
        }
        if settings.patience < Duration::from_millis(1) {
            let patience = format!("{:?}", settings.patience);
            return Some(("wait_at_most", patience, "give at least 1 ms"));
        }
        None
    }
}

impl fmt::Debug for Leasing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leasing")
            .field("node", &self.settings.node)
            .field("chunk", &self.settings.chunk)
            .field("ttl", &self.settings.ttl)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{SyncReply, SyncRequest},
        *,
    };
    use crate::tenant::{Limit, StoreError};

    struct NoStore;

    impl LeaseStore for NoStore {
        fn sync(&mut self, _: &[SyncRequest]) -> Result<Vec<SyncReply>, StoreError> {
            Ok(Vec::new())
        }

        fn set_limit(&mut self, _: &str, _: Option<Limit>) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn settings_are_taken_up_to_their_bounds_and_no_further() {
        type Change = fn(Leasing) -> Leasing;
        let cases: [(Change, Option<&str>); 13] = [
            (|leasing| leasing, None),
            (|leasing| leasing.node("n"), None),
            (|leasing| leasing.node("n".repeat(200)), None),
            (|leasing| leasing.node("n".repeat(201)), Some("node")),
            (|leasing| leasing.node(""), Some("node")),
            (|leasing| leasing.chunk(1 << 40), None),
            (|leasing| leasing.chunk((1 << 40) + 1), Some("chunk")),
            (|leasing| leasing.ttl(Duration::from_millis(100)), None),
            (|leasing| leasing.ttl(Duration::from_millis(99)), Some("ttl")),
            (|leasing| leasing.ttl(Duration::from_secs(86_400)), None),
            (|leasing| leasing.ttl(Duration::from_secs(86_401)), Some("ttl")),
            (|leasing| leasing.wait_at_most(Duration::from_millis(1)), None),
            (
                |leasing| leasing.wait_at_most(Duration::from_micros(999)),
                Some("wait_at_most"),
            ),
        ];
        for (place, (change, setting)) in cases.into_iter().enumerate() {
            let flaw = change(Leasing::new(NoStore)).flaw();
            assert_eq!(flaw.as_ref().map(|flaw| flaw.0), setting, "{place}");
            assert!(flaw.is_none_or(|flaw| flaw.2.starts_with("give")), "{place}");
        }
    }

    #[test]
    fn a_node_tells_what_was_stored_four_times_in_the_time_of_a_lease() {
        let settings = Leasing::new(NoStore).ttl(Duration::from_secs(8)).settings;
        assert_eq!(settings.heartbeat, Duration::from_secs(2));
        let settings = Leasing::new(NoStore).settings;
        assert_eq!(settings.heartbeat * 4, settings.ttl);
    }
}
