use std::{error::Error, fmt};

/// Reads a size as people write it: `512`, `64MiB`, `1.5GB`, `2 TiB`, `10k`.
///
/// `KiB` to `EiB` are powers of 1024, `kB` to `EB` (and the bare letters) powers of 1000; case does not matter.
///
/// # Errors
///
/// When the text is not a number of 0 or more with one of those units, or exceeds [`u64::MAX`] bytes.
///
/// ```
/// use tower_storage_guard::parse_size;
///
/// assert_eq!(parse_size("64MiB").unwrap(), 64 << 20);
/// assert_eq!(parse_size("1.5GB").unwrap(), 1_500_000_000);
/// assert!(parse_size("a lot").is_err());
/// ```
pub fn parse_size(text: &str) -> Result<u64, ParseSizeError> {
    let error = || ParseSizeError {
        text: text.chars().take(64).collect(),
    };
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit_bytes(unit.trim_start()).ok_or_else(error)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(error());
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| error())?
    };
    // Integers stay exact where a float would not be; twenty digits times the largest unit still fit.
    let fraction = &fraction[..fraction.len().min(20)];
    let part = match fraction.parse::<u128>() {
        Ok(digits) => digits * unit / 10_u128.pow(fraction.len() as u32),
        Err(_) => 0,
    };
    let bytes = whole.checked_mul(unit).ok_or_else(error)?.saturating_add(part);
    u64::try_from(bytes).map_err(|_| error())
}

/// Writes a number of bytes as people read it, in powers of 1024 with one decimal: `64.0 MiB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        // 1023.95 and more would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        return format!("{bytes} B");
    }
    format!("{value:.1} {unit}")
}

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSizeError {
    text: String,
}

impl fmt::Display for ParseSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a size: write a number of bytes, or one with a unit, such as 64MiB or 1.5GB",
            self.text
        )
    }
}

impl Error for ParseSizeError {}

fn unit_bytes(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    if unit.is_empty() || unit == "b" {
        return Some(1);
    }
    let mut letters = unit.chars();
    let power = match letters.next()? {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        'p' => 5,
        'e' => 6,
        _ => return None,
    };
    match letters.as_str() {
        "" | "b" => Some(1000_u128.pow(power)),
        "i" | "ib" => Some(1024_u128.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_units() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("1k", 1000),
            ("1KiB", 1024),
            ("1.5GB", 1_500_000_000),
            (" 2 TiB ", 2 << 40),
            ("3 PB", 3_000_000_000_000_000),
            ("15.5EiB", 31 << 59),
            (".5mib", 1 << 19),
            ("1.", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in [
            "",
            ".",
            "-1",
            "+1",
            "1.2.3",
            "MiB",
            "1XB",
            "16EiB",
            "1e3",
            "1 2",
            "١",
            "99999999999999999999999999999999999999999",
        ] {
            let error = parse_size(text).expect_err(text);
            assert!(error.to_string().contains("64MiB"), "the remedy: {error}");
        }
    }

    #[test]
    fn writes_units() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1023), "1023 B");
        assert_eq!(format_size(1024), "1.0 KiB");
        assert_eq!(format_size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(format_size(64 << 20), "64.0 MiB");
        assert_eq!(format_size(u64::MAX), "16.0 EiB");
        // 1023.95 PiB to the byte, which would be shown as 1024.0.
        assert_eq!(format_size(1_152_865_209_611_504_896), "1.0 EiB");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse_size(&text);
        }

        /// Whole bytes of what is written, cut off and not rounded.
        #[test]
        fn any_number_with_any_unit(
            whole in 0..2000_u64,
            fraction in prop::option::of("[0-9]{1,12}"),
            (unit, size) in prop::sample::select(&[
                ("", 1), ("b", 1), ("k", 1000), ("KB", 1000), ("kib", 1 << 10), ("M", 1_000_000), ("MiB", 1 << 20),
                ("gb", 1_000_000_000), ("Gi", 1 << 30), ("TB", 1_000_000_000_000), ("tib", 1 << 40),
                ("P", 1_000_000_000_000_000), ("PiB", 1 << 50),
            ][..]),
            space in " {0,2}",
        ) {
            let dot = fraction.as_ref().map_or_else(String::new, |digits| format!(".{digits}"));
            let places = fraction.as_ref().map_or(0, String::len) as u32;
            let digits: u128 = format!("{whole}{}", fraction.unwrap_or_default()).parse().expect("few digits");
            let expected = digits * size / 10_u128.pow(places);
            prop_assert_eq!(parse_size(&format!("{space}{whole}{dot}{space}{unit}{space}")), Ok(expected as u64));
        }

        /// With one decimal.
        #[test]
        fn what_is_shown_is_read_back_nearly(bytes in 0..1_u64 << 60) {
            let read = parse_size(&format_size(bytes)).expect("a size");
            prop_assert!(read.abs_diff(bytes) <= bytes / 20, "{} for {}", read, bytes);
        }

        #[test]
        fn whole_numbers_are_exact(bytes: u64) {
            prop_assert_eq!(parse_size(&bytes.to_string()), Ok(bytes));
        }
    }
}
