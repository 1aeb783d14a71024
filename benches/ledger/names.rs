/// How requests spread over tenants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// The second is asked half as often as the first, the third a third, and so on.
    Zipf,
    /// Always the same.
    OneHot,
}

impl Asked {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zipf => "by Zipf",
            Self::OneHot => "one",
        }
    }

    /// So many places in the list of tenants.
    pub(crate) fn places(self, tenants: usize, count: usize) -> Vec<usize> {
        let mut random = Random(1);
        let largest = ((tenants + 1) as f64).ln();
        let place = move || match self {
            Self::OneHot => tenants / 2,
            // The inverse of the sum of 1/n. Neighbours in rank are not neighbours in memory.
            Self::Zipf => {
                let rank = (random.next() * largest).exp() as usize;
                (rank.clamp(1, tenants) * 7_919) % tenants
            }
        };
        std::iter::repeat_with(place).take(count).collect()
    }
}

pub(crate) fn names(tenants: usize) -> Vec<String> {
    (0..tenants).map(|tenant| format!("tenant-{tenant:07}")).collect()
}

/// The same numbers in every run, from 0 to 1.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
