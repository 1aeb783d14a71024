use std::sync::LazyLock;

use http::HeaderValue;

/// Writes a number as a header's value. Up to 299, as most times are, that allocates nothing but the first time.
pub(super) fn decimal(number: u32) -> HeaderValue {
    static SMALL: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
        let digits = (0..300_u32).map(|number| number.to_string().leak());
        digits.map(|digits| HeaderValue::from_static(digits)).collect()
    });
    SMALL.get(number as usize).cloned().unwrap_or_else(|| number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ever() {
        for number in (0..1010).chain([4096, u32::MAX]) {
            assert_eq!(decimal(number), HeaderValue::from(number));
        }
    }
}
