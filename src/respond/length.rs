use http::{HeaderMap, HeaderName};
use http_body::{Body, SizeHint};

use super::{
    Class, HeadRef,
    protocol::{Dialect, ProtocolHints},
};
use crate::capacity::Demand;

/// What a request wants to store; and what it speaks, where that was seen on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) demand: Demand,
    pub(crate) dialect: Option<Dialect>,
}

impl Wanted {
    fn only(demand: Demand) -> Self {
        Self { demand, dialect: None }
    }
}

/// What the request would store, from its kind, its body's size hint and its headers.
///
/// The size hint comes first: the server that made the body has validated the length (RFC 9112 section 6.3).
#[inline(always)]
pub(crate) fn wanted(class: Class, request: HeadRef<'_>, body: &impl Body, hints: &LengthHints) -> Wanted {
    if class == Class::Exempt {
        return Wanted::only(Demand::Exempt);
    }
    let body = body.size_hint();
    // The usual case by itself, so that it is a few instructions among others.
    match (class, body.exact()) {
        (Class::Stores, Some(bytes @ 1..)) if !hints.always => Wanted::only(Demand::Bytes(bytes)),
        _ => otherwise_wanted(class, request, &body, hints),
    }
}

#[inline(never)]
fn otherwise_wanted(class: Class, request: HeadRef<'_>, body: &SizeHint, hints: &LengthHints) -> Wanted {
    let told = Told::by(request.headers, hints);
    let length = match body.exact() {
        Some(exact) => Some(exact),
        None => told.declared().map(|declared| declared.max(body.lower())),
    };
    // A known length above zero needs no second opinion, unless one is asked for.
    let hinted = match length {
        Some(1..) if !hints.always => None,
        _ => told.hinted,
    };
    let length = length.max(hinted);
    let demand = match (class, length) {
        (Class::StoresBytes(bytes), length) => Demand::Declared(bytes.max(length.unwrap_or(0))),
        (_, Some(bytes @ 1..)) => Demand::Bytes(bytes),
        (Class::Creates, _) | (_, Some(0)) => Demand::Creates,
        (_, None) if body.lower() > 0 => Demand::Bytes(body.lower()),
        (_, None) => Demand::Unknown,
    };
    Wanted {
        demand,
        dialect: Some(told.protocol.dialect(request)),
    }
}

/// What the headers say, of a length and else, found in one pass: to look up each of a handful costs three times as much.
#[derive(Default)]
struct Told<'a> {
    length: Option<u64>,
    is_encoded: bool,
    hinted: Option<u64>,
    protocol: ProtocolHints<'a>,
}

impl<'a> Told<'a> {
    fn by(headers: &'a HeaderMap, hints: &LengthHints) -> Self {
        let mut told = Self::default();
        for (name, value) in headers {
            let text = name.as_str();
            match text {
                "content-length" => told.length = told.length.max(digits(value.as_bytes())),
                "transfer-encoding" => told.is_encoded = true,
                _ => told.protocol.record(text, value),
            }
            if hints.may_be(text) && hints.names.contains(name) {
                told.hinted = told.hinted.max(digits(value.as_bytes()));
            }
        }
        told
    }

    /// `Content-Length`, where it counts: `Transfer-Encoding` overrides it (RFC 9112 section 6.3). Of several the
    /// largest; digits only, as RFC 9110 section 8.6 has it; more than fits a `u64` is as large as can be.
    fn declared(&self) -> Option<u64> {
        self.length.filter(|_| !self.is_encoded)
    }
}

/// Headers that tell how much will be stored in the end. They can only raise the estimate: a published bypass of a quota
/// lowered it. Bytes that really pass are counted whatever a header says.
#[derive(Clone, Debug)]
pub(crate) struct LengthHints {
    names: Box<[HeaderName]>,
    /// A bit for each length that a name has, modulo 64: most headers are told from all of them by it.
    lengths: u64,
    /// Also where the body's own length is known and not zero.
    always: bool,
}

impl LengthHints {
    pub(crate) fn always(names: Vec<HeaderName>) -> Self {
        Self::new(names.into(), true)
    }

    fn new(names: Box<[HeaderName]>, always: bool) -> Self {
        Self {
            lengths: names
                .iter()
                .fold(0, |lengths, name| lengths | length_bit(name.as_str())),
            names,
            always,
        }
    }

    #[inline]
    fn may_be(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0
    }
}

impl Default for LengthHints {
    /// What tus, Finder, ownCloud and S3 clients send, where the body itself has no length or none yet.
    fn default() -> Self {
        let names = [
            HeaderName::from_static("upload-length"),
            HeaderName::from_static("x-expected-entity-length"),
            HeaderName::from_static("oc-total-length"),
            HeaderName::from_static("x-amz-decoded-content-length"),
        ];
        Self::new(names.into(), false)
    }
}

fn length_bit(name: &str) -> u64 {
    1 << (name.len() % 64)
}

fn digits(bytes: &[u8]) -> Option<u64> {
    let is_number = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        bytes.iter().fold(0_u64, |number, digit| {
            number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http::{Request, request::Parts};
    use http_body::Frame;
    use proptest::prelude::*;

    use super::*;
    use crate::respond::class_of;

    /// A body of which only the hint matters.
    struct Hinted(SizeHint);

    impl Body for Hinted {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::clone(&self.0)
        }
    }

    fn demand_of(class: Class, parts: &Parts, hint: SizeHint, hints: &LengthHints) -> Demand {
        wanted(class, HeadRef::from(parts), &Hinted(hint), hints).demand
    }

    fn demanded(method: &str, hint: SizeHint, headers: &[(&str, &str)]) -> Demand {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        demand_of(class_of(&parts.method), &parts, hint, &LengthHints::default())
    }

    fn unknown() -> SizeHint {
        SizeHint::default()
    }

    #[test]
    fn the_size_hint_comes_first() {
        assert_eq!(
            demanded("PUT", SizeHint::with_exact(5), &[("content-length", "7")]),
            Demand::Bytes(5)
        );
        assert_eq!(demanded("PUT", unknown(), &[("content-length", "7")]), Demand::Bytes(7));
        assert_eq!(demanded("PUT", unknown(), &[]), Demand::Unknown);
        let mut at_least = SizeHint::new();
        at_least.set_lower(9);
        assert_eq!(demanded("PUT", at_least, &[]), Demand::Bytes(9));
    }

    #[test]
    fn transfer_encoding_beats_content_length() {
        let headers = [("content-length", "7"), ("transfer-encoding", "chunked")];
        assert_eq!(demanded("PUT", unknown(), &headers), Demand::Unknown);
    }

    #[test]
    fn only_digits_are_a_length() {
        for bad in ["", "+7", "-7", "7 ", "0x7", "7,7", "7.0"] {
            assert_eq!(
                demanded("PUT", unknown(), &[("content-length", bad)]),
                Demand::Unknown,
                "`{bad}`"
            );
        }
        let huge = "99999999999999999999999999";
        assert_eq!(
            demanded("PUT", unknown(), &[("content-length", huge)]),
            Demand::Bytes(u64::MAX)
        );
        let two = [("content-length", "7"), ("content-length", "8")];
        assert_eq!(demanded("PUT", unknown(), &two), Demand::Bytes(8));
    }

    #[test]
    fn hints_raise_what_is_unknown_and_never_lower_what_is_known() {
        for name in [
            "upload-length",
            "x-expected-entity-length",
            "oc-total-length",
            "x-amz-decoded-content-length",
        ] {
            assert_eq!(demanded("PUT", unknown(), &[(name, "50")]), Demand::Bytes(50), "{name}");
            assert_eq!(
                demanded("POST", SizeHint::with_exact(0), &[(name, "50")]),
                Demand::Bytes(50),
                "{name}"
            );
            assert_eq!(
                demanded("PUT", SizeHint::with_exact(80), &[(name, "50")]),
                Demand::Bytes(80),
                "{name}"
            );
            assert_eq!(
                demanded("PUT", SizeHint::with_exact(8), &[(name, "none")]),
                Demand::Bytes(8),
                "{name}"
            );
        }
        let always = LengthHints::always(vec![HeaderName::from_static("x-total")]);
        let parts = Request::put("/")
            .header("x-total", "50")
            .body(())
            .expect("a request")
            .into_parts()
            .0;
        let demanded = |bytes| demand_of(Class::Stores, &parts, SizeHint::with_exact(bytes), &always);
        assert_eq!(demanded(8), Demand::Bytes(50));
        assert_eq!(demanded(80), Demand::Bytes(80));
    }

    #[test]
    fn kinds_without_a_length() {
        assert_eq!(demanded("POST", SizeHint::with_exact(0), &[]), Demand::Creates);
        assert_eq!(demanded("MKCOL", SizeHint::with_exact(0), &[]), Demand::Creates);
        assert_eq!(demanded("COPY", unknown(), &[]), Demand::Creates);
        assert_eq!(
            demanded("PROPPATCH", SizeHint::with_exact(300), &[]),
            Demand::Bytes(300)
        );
        assert_eq!(
            demanded("DELETE", SizeHint::with_exact(300), &[("content-length", "300")]),
            Demand::Exempt
        );
    }

    #[test]
    fn a_classifier_that_knows_better_sets_the_least() {
        let parts = Request::put("/").body(()).expect("a request").into_parts().0;
        let demanded = |hint| demand_of(Class::StoresBytes(100), &parts, hint, &LengthHints::default());
        assert_eq!(demanded(SizeHint::with_exact(5)), Demand::Declared(100));
        assert_eq!(demanded(SizeHint::with_exact(500)), Demand::Declared(500));
        assert_eq!(demanded(SizeHint::default()), Demand::Declared(100));
    }

    /// What clients and proxies may write where a number belongs.
    fn values() -> impl Strategy<Value = String> {
        prop_oneof!["[0-9]{1,24}", "0{0,3}[0-9]{1,6}", "[+-]?[0-9]{0,4}[ ,.x]?[0-9]{0,3}"]
    }

    /// The largest of the numbers among them; 128 bits hold any that is generated here.
    fn largest(texts: &[String]) -> Option<u64> {
        let numbers = texts
            .iter()
            .filter(|text| text.chars().all(|letter| letter.is_ascii_digit()));
        let numbers = numbers.filter_map(|text| text.parse::<u128>().ok());
        numbers.map(|number| u64::try_from(number).unwrap_or(u64::MAX)).max()
    }

    proptest! {
        /// RFC 9112 section 6.3, and hints for what is not known or nothing.
        #[test]
        fn any_headers_together(
            exact in prop::option::of(prop_oneof![Just(0), any::<u64>()]),
            lengths in prop::collection::vec(values(), 0..3),
            hints in prop::collection::vec(values(), 0..3),
            is_encoded: bool,
        ) {
            const HINTS: [&str; 3] = ["upload-length", "oc-total-length", "x-amz-decoded-content-length"];
            let mut headers: Vec<_> = lengths.iter().map(|text| ("content-length", text.as_str())).collect();
            headers.extend(HINTS.into_iter().zip(hints.iter().map(String::as_str)));
            if is_encoded {
                headers.push(("transfer-encoding", "chunked"));
            }
            let length = exact.or(if is_encoded { None } else { largest(&lengths) });
            let bytes = match (length, largest(&hints)) {
                (Some(length @ 1..), _) => Some(length),
                (length, hint) => length.max(hint),
            };
            let expected = match bytes {
                None => Demand::Unknown,
                Some(0) => Demand::Creates,
                Some(bytes) => Demand::Bytes(bytes),
            };
            let body = exact.map_or_else(unknown, SizeHint::with_exact);
            prop_assert_eq!(demanded("PUT", body, &headers), expected);
        }

        #[test]
        fn numbers_are_read_as_they_are_written(number: u64, zeros in 0..40_usize) {
            let text = format!("{}{number}", "0".repeat(zeros));
            prop_assert_eq!(digits(text.as_bytes()), Some(number));
        }

        #[test]
        fn other_bytes_are_no_number(bytes: Vec<u8>) {
            let expected = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
            prop_assert_eq!(digits(&bytes).is_some(), expected);
        }

        #[test]
        fn an_estimate_is_never_below_the_length(exact: Option<u64>, hints: [Option<u64>; 3]) {
            let hint = exact.map_or_else(SizeHint::default, SizeHint::with_exact);
            let texts = hints.map(|hint| hint.map(|number| number.to_string()));
            let names = ["upload-length", "oc-total-length", "x-expected-entity-length"];
            let headers: Vec<_> = names.iter().zip(&texts).filter_map(|(name, text)| Some((*name, text.as_deref()?))).collect();
            if let (Some(exact), Demand::Bytes(bytes)) = (exact, demanded("PUT", hint, &headers)) {
                prop_assert!(bytes >= exact);
            }
        }
    }
}
