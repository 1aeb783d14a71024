use http::{Method, request::Parts};

/// What kind of request it is, before its length is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// Stores nothing that matters: never refused, never counted.
    Exempt,
    /// Stores its body.
    Stores,
    /// Creates something whatever its body is, such as a collection or a copy.
    Creates,
    /// Stores this many bytes, whatever its body is: for a classifier that knows, say, the size of what is copied. Bytes
    /// of a body beyond that are counted as they pass.
    StoresBytes(u64),
}

/// Tells what kind of request one is. Any `Fn(&http::request::Parts) -> Class` is a classifier.
///
/// ```
/// use tower_storage_guard::{Class, Classifier, DefaultClassifier};
///
/// // A search that sends its query as the body of a POST stores nothing.
/// let classifier = |parts: &http::request::Parts| match parts.uri.path() {
///     "/search" => Class::Exempt,
///     _ => DefaultClassifier.classify(parts),
/// };
/// # fn accepts(_: impl Classifier) {}
/// # accepts(classifier);
/// ```
pub trait Classifier: Send + Sync {
    /// Looks at the head of a request.
    fn classify(&self, parts: &Parts) -> Class;
}

impl<F: Fn(&Parts) -> Class + Send + Sync> Classifier for F {
    #[inline]
    fn classify(&self, parts: &Parts) -> Class {
        self(parts)
    }
}

/// Goes by the method.
///
/// Exempt: what reads (`GET HEAD OPTIONS TRACE CONNECT PROPFIND REPORT SEARCH QUERY`) and what one needs to clean up when
/// all is full (`DELETE UNLOCK MOVE LOCK`). `COPY`, `MKCOL` and `PROPPATCH` create. Everything else, methods unknown here
/// included, stores its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultClassifier;

impl Classifier for DefaultClassifier {
    #[inline]
    fn classify(&self, parts: &Parts) -> Class {
        class_of(&parts.method)
    }
}

/// What the default goes by.
#[inline]
pub(crate) fn class_of(method: &Method) -> Class {
    match *method {
        Method::PUT | Method::POST | Method::PATCH => Class::Stores,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE | Method::TRACE | Method::CONNECT => {
            Class::Exempt
        }
        _ => by_name(method.as_str()),
    }
}

/// The methods of WebDAV (RFC 4918, 3253, 5323) and RFC 9110's successors.
fn by_name(method: &str) -> Class {
    match method {
        "PROPFIND" | "REPORT" | "SEARCH" | "QUERY" | "UNLOCK" | "MOVE" | "LOCK" => Class::Exempt,
        "COPY" | "MKCOL" | "PROPPATCH" => Class::Creates,
        _ => Class::Stores,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(method: &str) -> Class {
        let request = http::Request::builder().method(method).body(()).expect("a method");
        DefaultClassifier.classify(&request.into_parts().0)
    }

    #[test]
    fn reading_and_cleaning_up_are_exempt() {
        for method in [
            "GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "REPORT", "SEARCH", "QUERY", "DELETE", "UNLOCK",
            "MOVE", "LOCK",
        ] {
            assert_eq!(class(method), Class::Exempt, "{method}");
        }
    }

    #[test]
    fn everything_else_needs_room() {
        for method in ["PUT", "POST", "PATCH", "APPEND", "get"] {
            assert_eq!(class(method), Class::Stores, "{method}");
        }
        for method in ["COPY", "MKCOL", "PROPPATCH"] {
            assert_eq!(class(method), Class::Creates, "{method}");
        }
    }
}
