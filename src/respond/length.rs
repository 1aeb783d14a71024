use http::{HeaderMap, HeaderName};
use http_body::{Body, SizeHint};

use super::{
    Class, HeadRef,
    protocol::{Dialect, ProtocolHints},
};
use crate::capacity::Claim;

/// What a request asks for, and the protocol that it speaks where its headers were read on the way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Estimate {
    /// None: the request is exempt.
    pub(crate) claim: Option<Claim>,
    pub(crate) dialect: Option<Dialect>,
}

/// Estimates what the request stores, from its class, its body's size hint and its headers.
///
/// The size hint comes first: the server that made the body has validated the length (RFC 9112 section 6.3).
#[inline(always)]
pub(crate) fn estimate(class: Class, request: HeadRef<'_>, body: &impl Body, hints: &LengthHints) -> Estimate {
    if class == Class::Exempt {
        return Estimate::default();
    }
    let body = body.size_hint();
    // The usual case by itself, so that it is a few instructions among others.
    match (class, body.exact()) {
        (Class::Stores, Some(bytes @ 1..)) if !hints.always => Estimate {
            claim: Some(Claim {
                bytes,
                ..Claim::default()
            }),
            dialect: None,
        },
        _ => estimate_slow(class, request, &body, hints),
    }
}

#[inline(never)]
fn estimate_slow(class: Class, request: HeadRef<'_>, body: &SizeHint, hints: &LengthHints) -> Estimate {
    let scan = HeaderScan::new(request.headers, hints);
    let dialect = scan.protocol.dialect(request);
    let length = match body.exact() {
        Some(exact) => Some(exact),
        None => scan.declared().map(|declared| declared.max(body.lower())),
    };
    // A known length above zero needs no second opinion, unless one is asked for.
    let hinted = match length {
        Some(1..) if !hints.always => None,
        _ => scan.hinted,
    };
    let mut claim = Claim {
        bytes: length.unwrap_or(body.lower()).max(hinted.unwrap_or(0)),
        // Whatever a hint says: it promises how much there will be in the end, not that this body ends there.
        may_grow: length.is_none(),
        creates: class != Class::Stores || length == Some(0),
        ..Claim::default()
    };
    // An empty body brings none of the bytes that a hint announces, but the handler may allocate them. In an upload protocol
    // they come with later requests.
    if length == Some(0) && !dialect.announces_later_bytes() {
        claim.may_allocate = claim.bytes;
    }
    if let Class::StoresBytes(bytes) = class {
        claim.stored_elsewhere = bytes;
        claim.bytes = claim.bytes.max(bytes);
    }
    Estimate {
        claim: Some(claim),
        dialect: Some(dialect),
    }
}

/// What the headers say of the length and the protocol, read in one pass: looking up each of them costs three times as much.
#[derive(Default)]
struct HeaderScan<'a> {
    length: Option<u64>,
    is_encoded: bool,
    hinted: Option<u64>,
    protocol: ProtocolHints<'a>,
}

impl<'a> HeaderScan<'a> {
    fn new(headers: &'a HeaderMap, hints: &LengthHints) -> Self {
        let mut scan = Self::default();
        for (name, value) in headers {
            let text = name.as_str();
            match text {
                "content-length" => scan.length = scan.length.max(digits(value.as_bytes())),
                "transfer-encoding" => scan.is_encoded = true,
                _ => scan.protocol.record(text, value),
            }
            if hints.may_be(text) && hints.names.contains(name) {
                scan.hinted = scan.hinted.max(digits(value.as_bytes()));
            }
        }
        scan
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

    pub(crate) fn is_always(&self) -> bool {
        self.always
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

    fn claim_of(class: Class, parts: &Parts, hint: SizeHint, hints: &LengthHints) -> Option<Claim> {
        estimate(class, HeadRef::from(parts), &Hinted(hint), hints).claim
    }

    fn stores(bytes: u64) -> Option<Claim> {
        Some(Claim {
            bytes,
            ..Claim::default()
        })
    }

    fn grows(bytes: u64) -> Option<Claim> {
        Some(Claim {
            bytes,
            may_grow: true,
            ..Claim::default()
        })
    }

    /// With an empty body, or none that matters.
    fn creates(bytes: u64, stored_elsewhere: u64) -> Option<Claim> {
        Some(Claim {
            bytes,
            creates: true,
            stored_elsewhere,
            ..Claim::default()
        })
    }

    fn claimed(method: &str, hint: SizeHint, headers: &[(&str, &str)]) -> Option<Claim> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).expect("a request").into_parts().0;
        claim_of(class_of(&parts.method), &parts, hint, &LengthHints::default())
    }

    fn unknown() -> SizeHint {
        SizeHint::default()
    }

    #[test]
    fn the_size_hint_comes_first() {
        assert_eq!(
            claimed("PUT", SizeHint::with_exact(5), &[("content-length", "7")]),
            stores(5)
        );
        assert_eq!(claimed("PUT", unknown(), &[("content-length", "7")]), stores(7));
        assert_eq!(claimed("PUT", unknown(), &[]), grows(0));
        let mut at_least = SizeHint::new();
        at_least.set_lower(9);
        assert_eq!(claimed("PUT", at_least, &[]), grows(9));
    }

    #[test]
    fn transfer_encoding_beats_content_length() {
        let headers = [("content-length", "7"), ("transfer-encoding", "chunked")];
        assert_eq!(claimed("PUT", unknown(), &headers), grows(0));
    }

    #[test]
    fn only_digits_are_a_length() {
        for bad in ["", "+7", "-7", "7 ", "0x7", "7,7", "7.0"] {
            assert_eq!(
                claimed("PUT", unknown(), &[("content-length", bad)]),
                grows(0),
                "`{bad}`"
            );
        }
        let huge = "99999999999999999999999999";
        assert_eq!(claimed("PUT", unknown(), &[("content-length", huge)]), stores(u64::MAX));
        let two = [("content-length", "7"), ("content-length", "8")];
        assert_eq!(claimed("PUT", unknown(), &two), stores(8));
    }

    const HINTS: [&str; 4] = [
        "upload-length",
        "x-expected-entity-length",
        "oc-total-length",
        "x-amz-decoded-content-length",
    ];

    fn allocates(bytes: u64) -> Option<Claim> {
        Some(Claim {
            bytes,
            creates: true,
            may_allocate: bytes,
            ..Claim::default()
        })
    }

    #[test]
    fn hints_never_lower_a_length() {
        for name in HINTS {
            assert_eq!(claimed("PUT", unknown(), &[(name, "50")]), grows(50), "{name}");
            assert_eq!(
                claimed("POST", SizeHint::with_exact(0), &[(name, "50")]),
                allocates(50),
                "{name}"
            );
            assert_eq!(
                claimed("PUT", SizeHint::with_exact(80), &[(name, "50")]),
                stores(80),
                "{name}"
            );
            assert_eq!(
                claimed("PUT", SizeHint::with_exact(8), &[(name, "none")]),
                stores(8),
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
        let claimed = |bytes| claim_of(Class::Stores, &parts, SizeHint::with_exact(bytes), &always);
        assert_eq!(claimed(8), stores(50));
        assert_eq!(claimed(80), stores(80));
    }

    #[test]
    fn hints_never_settle_that_a_body_ends() {
        for method in ["PUT", "POST", "PATCH", "PROPPATCH", "COPY", "MKCOL"] {
            for hint in HINTS {
                for value in ["0", "1", "50"] {
                    let claim = claimed(method, unknown(), &[(hint, value)]).expect("not exempt");
                    assert!(claim.may_grow, "{method} {hint}: {value}");
                }
            }
            assert!(claimed(method, unknown(), &[]).expect("not exempt").may_grow);
            assert!(
                !claimed(method, SizeHint::with_exact(0), &[])
                    .expect("not exempt")
                    .may_grow
            );
        }
    }

    #[test]
    fn an_upload_protocol_brings_the_bytes_later() {
        for (name, value) in [("tus-resumable", "1.0.0"), ("upload-complete", "?0")] {
            let headers = [(name, value), ("upload-length", "50")];
            assert_eq!(claimed("POST", SizeHint::with_exact(0), &headers), creates(50, 0));
        }
    }

    #[test]
    fn classes_without_a_length_create() {
        assert_eq!(claimed("POST", SizeHint::with_exact(0), &[]), creates(0, 0));
        assert_eq!(claimed("MKCOL", SizeHint::with_exact(0), &[]), creates(0, 0));
        assert_eq!(claimed("PROPPATCH", SizeHint::with_exact(300), &[]), creates(300, 0));
        assert_eq!(
            claimed("DELETE", SizeHint::with_exact(300), &[("content-length", "300")]),
            None
        );
    }

    #[test]
    fn a_classifier_adds_what_is_stored_elsewhere() {
        let parts = Request::put("/").body(()).expect("a request").into_parts().0;
        let claimed = |hint| claim_of(Class::StoresBytes(100), &parts, hint, &LengthHints::default());
        assert_eq!(claimed(SizeHint::with_exact(0)), creates(100, 100));
        assert_eq!(claimed(SizeHint::with_exact(5)), creates(100, 100));
        assert_eq!(claimed(SizeHint::with_exact(500)), creates(500, 100));
        let growing = claimed(SizeHint::default()).expect("not exempt");
        assert!(growing.may_grow && growing.bytes == 100 && growing.stored_elsewhere == 100);
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
            let expected = Claim {
                bytes: bytes.unwrap_or(0),
                may_grow: length.is_none(),
                creates: length == Some(0),
                may_allocate: if length == Some(0) { bytes.unwrap_or(0) } else { 0 },
                ..Claim::default()
            };
            let body = exact.map_or_else(unknown, SizeHint::with_exact);
            prop_assert_eq!(claimed("PUT", body, &headers), Some(expected));
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
            let claim = claimed("PUT", hint, &headers).expect("not exempt");
            prop_assert!(claim.bytes >= exact.unwrap_or(0));
            prop_assert_eq!(claim.may_grow, exact.is_none());
        }
    }
}
