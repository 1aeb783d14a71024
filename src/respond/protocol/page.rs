//! A small HTML page for people.

use http::StatusCode;

use super::Document;
use crate::{capacity::Reason, respond::status::title};

pub(super) fn document(reason: Reason, status: StatusCode) -> Document {
    let (code, title, message, advice) = (status.as_u16(), title(status), reason.as_str(), advice(reason));
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{code} {title}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;\
         margin:15vh auto;padding:0 1rem}}</style>\n\
         <h1>{title}</h1>\n<p>Nothing was stored: {message}.</p>\n<p>{advice}</p>\n</html>\n"
    );
    Document::new(status, "text/html; charset=utf-8", body)
}

fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::TooLarge | Reason::ExceedsCapacity | Reason::ExceedsQuota => {
            "Waiting will not help. Try something smaller."
        }
        Reason::Space | Reason::Inodes | Reason::Quota => "Delete what is no longer needed, or try again later.",
        Reason::ReadOnly | Reason::Unmeasured => "Please try again later.",
        Reason::UnknownTenant => "Sign in, or ask whoever runs this service.",
        Reason::LengthRequired => "The program that sent this must say how much it is going to send.",
    }
}
