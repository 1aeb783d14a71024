use std::{any::Any, borrow::Cow, fmt};

use http::{Extensions, HeaderName, request::Parts};
use percent_encoding::percent_decode_str;

use super::HeadRef;
use crate::{capacity::Reason, tenant::is_name};

/// Tells on whose account a request is. Any `Fn(&http::request::Parts) -> Option<String>` does; [`TenantFrom`] has the usual
/// ones, which allocate nothing.
///
/// A name is trusted, so take it from what has been authenticated: whoever can choose it stores at the expense of others.
///
/// ```
/// use http::request::Parts;
/// use tower_storage_guard::TenantKey;
///
/// // The first label of the host.
/// let key = |parts: &Parts| {
///     let host = parts.uri.host().or(parts.headers.get("host")?.to_str().ok())?;
///     Some(host.split('.').next()?.to_ascii_lowercase())
/// };
/// # fn accepts(_: impl TenantKey) {}
/// # accepts(key);
/// ```
pub trait TenantKey: Send + Sync {
    /// The tenant's name, of 1 to 256 bytes; anything else counts as missing.
    fn tenant<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>>;
}

impl<F: Fn(&Parts) -> Option<String> + Send + Sync> TenantKey for F {
    fn tenant<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        self(parts).map(Cow::Owned)
    }
}

/// A layer's key. The usual ones need no more than a request that is still whole.
#[derive(Debug)]
pub(crate) enum Key {
    Usual(TenantFrom),
    Other(OtherKey),
}

pub(crate) struct OtherKey(Box<dyn TenantKey>);

impl Key {
    pub(crate) fn new<K: TenantKey + 'static>(key: K) -> Self {
        // As an `Any` that can be told from others, and taken out again.
        let mut key = Some(key);
        let usual = (&mut key as &mut dyn Any).downcast_mut::<Option<TenantFrom>>();
        if let Some(usual) = usual.and_then(Option::take) {
            return Self::Usual(usual);
        }
        #[expect(clippy::expect_used, reason = "only taken above, which returns")]
        Self::Other(OtherKey(Box::new(key.expect("still there"))))
    }

    /// Whether it wants to see all of a request's head, apart from the body.
    pub(crate) fn wants_parts(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// The tenant's name by the head of a request, which is there apart if the key wants it so.
    #[inline]
    pub(crate) fn tenant<'a>(&self, head: HeadRef<'a>, parts: Option<&'a Parts>) -> Option<Cow<'a, str>> {
        match self {
            Self::Usual(usual) => usual.find(head),
            Self::Other(OtherKey(other)) => other.tenant(parts?),
        }
    }
}

/// The usual places of a tenant's name.
pub struct TenantFrom {
    place: Place,
}

enum Place {
    Header(HeaderName),
    Extension(Box<FromExtensions>),
    PathSegment(usize),
}

type FromExtensions = dyn for<'a> Fn(&'a Extensions) -> Option<&'a str> + Send + Sync;

impl TenantFrom {
    /// A header that a proxy in front sets, after it has removed what clients sent under that name. More than one of it
    /// counts as missing.
    #[must_use]
    pub const fn header(name: HeaderName) -> Self {
        Self {
            place: Place::Header(name),
        }
    }

    /// An extension that a layer outside of this one has put into the request, such as the user who signed in.
    ///
    /// ```
    /// use tower_storage_guard::TenantFrom;
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     id: String,
    /// }
    ///
    /// let key = TenantFrom::extension(|user: &User| &user.id);
    /// ```
    pub fn extension<T: Send + Sync + 'static>(
        name: impl for<'a> Fn(&'a T) -> &'a str + Send + Sync + 'static,
    ) -> Self {
        Self {
            place: Place::Extension(Box::new(move |extensions| extensions.get::<T>().map(&name))),
        }
    }

    /// A segment of the path, counted from 0, without its percent-encoding: of `/v1/acme/photos` the segment 1 is `acme`.
    /// (Inside a nested router the path may be shorter than the client's.)
    #[must_use]
    pub const fn path_segment(place: usize) -> Self {
        Self {
            place: Place::PathSegment(place),
        }
    }
}

impl TenantFrom {
    #[inline]
    fn find<'a>(&self, head: HeadRef<'a>) -> Option<Cow<'a, str>> {
        match &self.place {
            Place::Header(name) => {
                let mut values = head.headers.get_all(name).iter();
                let value = values.next()?;
                // Which of several would count is for each program on the way to say.
                if values.next().is_some() {
                    return None;
                }
                // The usual names are ASCII, which is found out faster.
                let name = value.to_str().ok();
                name.or_else(|| std::str::from_utf8(value.as_bytes()).ok())
                    .map(Cow::Borrowed)
            }
            Place::Extension(name) => name(head.extensions).map(Cow::Borrowed),
            Place::PathSegment(place) => {
                let segment = head.uri.path().strip_prefix('/')?.split('/').nth(*place)?;
                // The same tenant must not have two accounts.
                percent_decode_str(segment).decode_utf8().ok()
            }
        }
    }
}

impl TenantKey for TenantFrom {
    fn tenant<'a>(&self, parts: &'a Parts) -> Option<Cow<'a, str>> {
        self.find(HeadRef::from(parts))
    }
}

impl fmt::Debug for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtherKey")
    }
}

impl fmt::Debug for TenantFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Place::Extension(_) => f.write_str("Extension"),
            Place::PathSegment(place) => f.debug_tuple("PathSegment").field(place).finish(),
        }
    }
}

/// What becomes of a request that stores something and does not tell on whose account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingTenant {
    /// Refuse it with 403: a name that is left out must not be a way around a limit.
    #[default]
    Refuse,
    /// Charge nobody.
    Pass,
    /// Charge this tenant.
    Shared(Box<str>),
}

impl MissingTenant {
    /// Whom to charge, if anybody.
    pub(crate) fn resolve<'a>(&'a self, name: Option<Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, Reason> {
        match (name.filter(|name| is_name(name)), self) {
            (Some(name), _) => Ok(Some(name)),
            (None, Self::Refuse) => Err(Reason::UnknownTenant),
            (None, Self::Pass) => Ok(None),
            (None, Self::Shared(name)) => Ok(Some(Cow::Borrowed(name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;

    fn parts(uri: &str) -> Parts {
        Request::put(uri).body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_header_counts_when_there_is_one() {
        let name = HeaderName::from_static("x-tenant");
        let key = TenantFrom::header(name.clone());
        let mut parts = parts("/");
        assert_eq!(key.tenant(&parts), None);
        parts.headers.append(&name, HeaderValue::from_static("acme"));
        assert_eq!(key.tenant(&parts).as_deref(), Some("acme"));
        parts.headers.append(&name, HeaderValue::from_static("acme"));
        assert_eq!(key.tenant(&parts), None);
        parts
            .headers
            .insert(&name, HeaderValue::from_bytes(b"\xff").expect("allowed"));
        assert_eq!(key.tenant(&parts), None, "not UTF-8");
    }

    #[test]
    fn a_segment_is_the_same_however_it_is_written() {
        let key = TenantFrom::path_segment(1);
        for uri in ["/v1/acme/photos", "/v1/%61cme", "http://host/v1/acme?x"] {
            assert_eq!(key.tenant(&parts(uri)).as_deref(), Some("acme"), "{uri}");
        }
        for uri in ["/v1", "/v1/%ff/x", "*"] {
            assert_eq!(key.tenant(&parts(uri)), None, "{uri}");
        }
    }

    proptest! {
        /// However a client writes it, and whatever is beside it.
        #[test]
        fn a_segment_is_read_back(
            segments in prop::collection::vec("\\PC{1,20}", 1..4),
            place: prop::sample::Index,
            written in prop::collection::vec(0..3_u8, 80),
        ) {
            let mut path = String::new();
            let mut written = written.iter().cycle();
            for segment in &segments {
                path.push('/');
                for byte in segment.bytes() {
                    match written.next() {
                        Some(0) if byte.is_ascii_alphanumeric() => path.push(byte.into()),
                        Some(1) => path += &format!("%{byte:02x}"),
                        _ => path += &format!("%{byte:02X}"),
                    }
                }
            }
            let place = place.index(segments.len());
            let key = TenantFrom::path_segment(place);
            let parts = parts(&path);
            let name = key.tenant(&parts);
            prop_assert_eq!(name.as_deref(), Some(segments[place].as_str()));
            let beyond = TenantFrom::path_segment(segments.len());
            prop_assert!(beyond.tenant(&parts).is_none());
        }

        #[test]
        fn a_header_is_a_name_when_it_is_text(value: Vec<u8>, again: bool) {
            let name = HeaderName::from_static("x-tenant");
            let Ok(header) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut parts = parts("/");
            parts.headers.append(&name, header.clone());
            if again {
                parts.headers.append(&name, header);
            }
            let expected = String::from_utf8(value).ok().filter(|_| !again);
            let key = TenantFrom::header(name);
            let name = key.tenant(&parts);
            prop_assert_eq!(name.as_deref(), expected.as_deref());
        }
    }

    #[test]
    fn an_extension_tells_its_own_name() {
        let key = TenantFrom::extension(|user: &String| user);
        let mut parts = parts("/");
        assert_eq!(key.tenant(&parts), None);
        parts.extensions.insert("acme".to_owned());
        assert_eq!(key.tenant(&parts).as_deref(), Some("acme"));
    }

    #[test]
    fn no_name_and_no_proper_name_are_the_same() {
        for name in [None, Some(String::new()), Some("x".repeat(257))] {
            let name = || name.clone().map(Cow::Owned);
            assert_eq!(MissingTenant::Refuse.resolve(name()), Err(Reason::UnknownTenant));
            assert_eq!(MissingTenant::Pass.resolve(name()), Ok(None));
            let shared = MissingTenant::Shared("others".into());
            assert_eq!(shared.resolve(name()).expect("resolved").as_deref(), Some("others"));
        }
        assert!(MissingTenant::Refuse.resolve(Some("x".repeat(256).into())).is_ok());
    }
}
