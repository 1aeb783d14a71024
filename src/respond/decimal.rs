use std::sync::LazyLock;

use http::HeaderValue;

/// Writes a number as a header's value. Up to 999, as most times are, that allocates nothing.
pub(super) fn decimal(number: u32) -> HeaderValue {
    /// `000` to `999`, one after the other.
    static DIGITS: LazyLock<String> = LazyLock::new(|| (0..1000).map(|number| format!("{number:03}")).collect());
    let leading_zeros = match number {
        0..10 => 2,
        10..100 => 1,
        100..1000 => 0,
        _ => return number.into(),
    };
    let start = 3 * number as usize;
    let digits = DIGITS.get(start + leading_zeros..start + 3);
    digits.map_or_else(|| number.into(), HeaderValue::from_static)
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
