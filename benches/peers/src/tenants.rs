//! Names of tenants, as often as they come.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use tower_storage_guard::{Ledger, Limit, TenantFrom};

use crate::work::{LENGTH, content, request};

pub const TENANT: HeaderName = HeaderName::from_static("x-tenant");

/// Who comes how often.
pub enum Crowd {
    /// The first twice as often as the second, three times as often as the third, and so on.
    Zipf(Vec<f64>),
    OneHot,
}

/// Requests of many tenants, always the same ones in the same order.
pub struct Requests {
    crowd: Crowd,
    state: u64,
}

impl Requests {
    pub fn zipf(tenants: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=tenants)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self {
            crowd: Crowd::Zipf(sums),
            state: 1,
        }
    }

    pub fn one_hot() -> Self {
        Self {
            crowd: Crowd::OneHot,
            state: 1,
        }
    }

    pub fn make(&mut self) -> Request<Full<Bytes>> {
        let rank = match &self.crowd {
            Crowd::OneHot => 0,
            Crowd::Zipf(sums) => {
                let at = random(&mut self.state) * sums.last().copied().unwrap_or(1.0);
                sums.partition_point(|sum| *sum < at).min(sums.len() - 1)
            }
        };
        let mut request = request(Method::POST, Some(LENGTH), content());
        let name = HeaderValue::from_str(&name(rank)).expect("letters");
        request.headers_mut().insert(TENANT, name);
        request
    }
}

/// Neighbours in rank are not neighbours in memory.
fn name(rank: usize) -> String {
    format!("tenant-{:08x}", (rank as u32).wrapping_mul(0x9E37_79B1))
}

/// `SplitMix64`, from 0 to 1.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64
}

/// A ledger in which all of them have something stored already.
pub fn ledger(tenants: usize) -> Ledger {
    let ledger = Ledger::builder()
        .name("tenants")
        .default_limit(Limit::bytes(1 << 50))
        .max_tenants(tenants.max(1))
        .build()
        .expect("sound settings");
    for rank in 0..tenants {
        ledger.charge(&name(rank), 1);
    }
    ledger
}

pub fn key() -> TenantFrom {
    TenantFrom::header(TENANT)
}
