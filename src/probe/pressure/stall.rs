//! `/proc/pressure/memory` and `io`, and `memory.pressure` and `io.pressure` of a group.

use crate::probe::files::Malformed;

/// Shares of time, in percent, that tasks lost waiting for a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stalls {
    /// At least one task waited.
    pub(crate) some: Shares,
    /// All tasks waited at once.
    pub(crate) full: Shares,
}

/// Averages over 10, 60 and 300 seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shares {
    pub(crate) avg10: f64,
    pub(crate) avg60: f64,
    pub(crate) avg300: f64,
}

/// Two lines, `some` and `full`, each with `avg10=… avg60=… avg300=… total=…` (Documentation/accounting/psi.rst).
pub(crate) fn stalls(text: &[u8]) -> Result<Stalls, Malformed> {
    let (mut some, mut full) = (None, None);
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(shares) = line.strip_prefix(b"some ") {
            some = Some(parse_shares(shares)?);
        } else if let Some(shares) = line.strip_prefix(b"full ") {
            full = Some(parse_shares(shares)?);
        }
    }
    Ok(Stalls {
        some: some.ok_or_else(|| Malformed::lacks("`some` line"))?,
        full: full.ok_or_else(|| Malformed::lacks("`full` line"))?,
    })
}

fn parse_shares(line: &[u8]) -> Result<Shares, Malformed> {
    let share = |name: &str| {
        line.split(|byte| *byte == b' ')
            .find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .and_then(percent)
            .ok_or_else(|| Malformed::new(&format!("`{name}=` and a percentage"), line))
    };
    Ok(Shares {
        avg10: share("avg10")?,
        avg60: share("avg60")?,
        avg300: share("avg300")?,
    })
}

/// Digits with a point: no sign, exponent or `NaN`.
fn percent(text: &[u8]) -> Option<f64> {
    let is_plain = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let share: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (is_plain && share <= 100.0).then_some(share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_all_windows() {
        let text = b"some avg10=10.47 avg60=8.99 avg300=4.83 total=25018532\nfull avg10=0.06 avg60=0.34 avg300=100.00 total=6\n";
        let stalls = stalls(text).expect("sound");
        assert_eq!(
            [stalls.some.avg10, stalls.some.avg60, stalls.some.avg300],
            [10.47, 8.99, 4.83]
        );
        assert_eq!(
            [stalls.full.avg10, stalls.full.avg60, stalls.full.avg300],
            [0.06, 0.34, 100.0]
        );
    }

    #[test]
    fn what_lacks_a_figure_or_has_nonsense_is_an_error() {
        let line = "avg10=1.00 avg60=1.00 avg300=1.00 total=1";
        assert!(stalls(format!("some {line}\nfull {line}\n").as_bytes()).is_ok());
        for bad in [
            String::new(),
            format!("some {line}\n"),
            format!("full {line}\n"),
            format!("some {line}\nfull avg10=1.00 avg60=1.00\n"),
        ] {
            assert!(stalls(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [
            "",
            ".",
            "-1",
            "+1",
            "1e1",
            "NaN",
            "inf",
            "100.01",
            "1,5",
            "9".repeat(400).as_str(),
        ] {
            let text = format!("some avg10={bad} avg60=1.00 avg300=1.00\nfull {line}\n");
            assert!(stalls(text.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_shares_or_an_error(text: Vec<u8>) {
            let _ = stalls(&text);
        }

        #[test]
        fn any_lines_are_shares_or_an_error(text in "((some|full)( avg(10|60|300)=[0-9.eN-]{0,9}){3}\n)*") {
            let _ = stalls(text.as_bytes());
        }

        #[test]
        fn every_share_comes_back(hundredths in 0..=10_000_u32) {
            let share = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            let line = format!("avg10={share} avg60={share} avg300={share} total=1");
            let found = stalls(format!("some {line}\nfull {line}\n").as_bytes()).expect("sound");
            for value in [found.some.avg10, found.full.avg60, found.full.avg300] {
                prop_assert_eq!((value * 100.0).round() as u32, hundredths);
            }
        }
    }
}
