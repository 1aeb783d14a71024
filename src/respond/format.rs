use http::{HeaderMap, HeaderValue, header::ACCEPT};

/// The format of an answer in plain HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/problem+json`, RFC 9457.
    #[default]
    Problem,
    /// A small HTML page.
    Page,
    /// One line of text.
    Text,
}

impl Format {
    /// Negotiates the format by `Accept` (RFC 9110 section 12.5.1).
    ///
    /// Problem details are the default, also when no format is acceptable: an answer in the wrong format is better than
    /// none.
    #[inline]
    pub(crate) fn preferred(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(&ACCEPT).iter();
        let first = values.next();
        Self::preferred_by(first, values.next().is_some(), headers)
    }

    /// Negotiates the format where the first `Accept` was found already.
    #[inline]
    pub(super) fn preferred_by(first: Option<&HeaderValue>, has_more: bool, headers: &HeaderMap) -> Self {
        match first {
            None => Self::Problem,
            // What curl, Go and Python clients send.
            Some(accept) if accept.as_bytes() == b"*/*" && !has_more => Self::Problem,
            Some(_) => Self::negotiate(headers),
        }
    }

    #[cold]
    fn negotiate(headers: &HeaderMap) -> Self {
        let mut problem = Preference::default();
        let mut page = Preference::default();
        let mut text = Preference::default();
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let mut parameters = range.split(';').map(str::trim);
            let name = parameters.next().unwrap_or_default();
            let quality = parameters.find_map(quality).unwrap_or(1000);
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if is("*/*") {
                for preference in [&mut problem, &mut page, &mut text] {
                    preference.offer(1, quality);
                }
            } else if is("application/*") {
                problem.offer(2, quality);
            } else if is("text/*") {
                page.offer(2, quality);
                text.offer(2, quality);
            } else if is("application/problem+json") {
                problem.offer(4, quality);
            } else if is("application/json") {
                // JSON clients read problem+json; an explicit range for it counts more.
                problem.offer(3, quality);
            } else if is("text/html") {
                page.offer(3, quality);
            } else if is("text/plain") {
                text.offer(3, quality);
            }
        }
        // Later entries win only if they are strictly better: problem, then text, then page.
        let mut best = (problem.quality, Self::Problem);
        for (preference, format) in [(text, Self::Text), (page, Self::Page)] {
            if preference.quality > best.0 {
                best = (preference.quality, format);
            }
        }
        best.1
    }
}

/// The quality that the most specific matching range gives.
#[derive(Clone, Copy, Default)]
struct Preference {
    specificity: u8,
    /// In thousandths.
    quality: u16,
}

impl Preference {
    fn offer(&mut self, specificity: u8, quality: u16) {
        if specificity >= self.specificity {
            *self = Self { specificity, quality };
        }
    }
}

/// Parses `q=0.8` into thousandths. A malformed parameter counts as absent.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, is_digits) {
        ("0", true) => Some(
            fraction
                .bytes()
                .zip([100, 10, 1])
                .map(|(digit, place)| u16::from(digit - b'0') * place)
                .sum(),
        ),
        ("1", true) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn preferred(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header value"));
        Format::preferred(&headers)
    }

    #[test]
    fn what_real_clients_send() {
        use Format::{Page, Problem, Text};
        assert_eq!(Format::preferred(&HeaderMap::new()), Problem);
        for (accept, format) in [
            ("*/*", Problem),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
                Page,
            ),
            ("application/json, text/plain, */*", Problem),
            ("application/json, text/javascript, */*; q=0.01", Problem),
            ("text/plain", Text),
            ("text/*", Text),
            ("TEXT/HTML", Page),
            (
                "application/problem+json;q=0.1, application/json, text/html;q=0.5",
                Page,
            ),
            ("text/html;q=0.5, application/json;q=0.4", Page),
            ("text/html;q=0.4, application/json;q=0.5", Problem),
            ("text/html;q=0, */*", Problem),
            ("*/*, text/html;q=0.2, application/json;q=0.1, text/plain;q=0", Page),
            ("image/png", Problem),
            ("", Problem),
            (";;;,,,q=", Problem),
            ("text/html;q=abc", Page),
            ("text/html;level=1;q=0.3, text/plain;q=0.4", Text),
        ] {
            assert_eq!(preferred(accept), format, "`{accept}`");
        }
    }

    #[test]
    fn several_headers_count_as_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("application/json;q=0.5"));
        headers.append(ACCEPT, HeaderValue::from_static("text/plain"));
        assert_eq!(Format::preferred(&headers), Format::Text);
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("*/*;q=0.5"));
        headers.append(ACCEPT, HeaderValue::from_static("text/html"));
        assert_eq!(Format::preferred(&headers), Format::Page);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.append(ACCEPT, HeaderValue::from_static("application/json;q=0"));
        assert_eq!(Format::preferred(&headers), Format::Text);
    }

    proptest! {
        #[test]
        fn never_panics(accept: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&accept) {
                let mut headers = HeaderMap::new();
                headers.insert(ACCEPT, value);
                Format::preferred(&headers);
            }
        }
    }
}
