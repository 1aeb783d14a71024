use std::sync::Arc;

use http::{Request, StatusCode, request::Parts};

use super::*;
use crate::{
    admission::{Limits, LiveLimits},
    capacity::Reason,
    respond::{Estimate, LengthHints, RefusalWriter, TemporaryStatus, class_of, estimate},
    test_util::ScriptedBody,
};

fn parts(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn answer_to(answers: &RefusalWriter, reason: Reason, mut parts: Parts) -> Response<Bytes> {
    answers.write(Refusal::new(reason), None, &mut parts)
}

fn answer(reason: Reason, protocol: Protocol) -> Response<Bytes> {
    let answers = RefusalWriter {
        protocol: Some(protocol),
        limits: Arc::new(LiveLimits::new(Limits {
            maximum: 5000,
            ..Limits::default()
        })),
        ..RefusalWriter::default()
    };
    answer_to(&answers, reason, parts("PUT", "/", &[]))
}

fn body(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).expect("text")
}

fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("JSON")
}

const ALL: [Protocol; 11] = [
    Protocol::Http,
    Protocol::WebDav,
    Protocol::Grpc,
    Protocol::GrpcWeb,
    Protocol::Connect,
    Protocol::S3,
    Protocol::Oci,
    Protocol::GitLfs,
    Protocol::Otlp,
    Protocol::Tus,
    Protocol::ResumableUpload,
];

#[test]
fn every_refusal_can_be_said_in_every_protocol() {
    for protocol in ALL {
        for reason in Reason::ALL {
            let response = answer(reason, protocol);
            let headers = response.headers();
            assert_eq!(headers["cache-control"], "no-store", "{protocol:?}");
            assert_eq!(response.extensions().get(), Some(&Refusal::new(reason)));
            let is_success = response.status().is_success();
            assert_eq!(
                is_success,
                matches!(protocol, Protocol::Grpc | Protocol::GrpcWeb),
                "{protocol:?} {reason}"
            );
            if !is_success {
                assert_eq!(headers["content-length"], response.body().len().to_string().as_str());
                let waits = matches!(reason, Reason::Space | Reason::Inodes | Reason::Unmeasured);
                assert_eq!(headers.contains_key("retry-after"), waits, "{protocol:?} {reason}");
                assert!(
                    String::from_utf8_lossy(response.body()).contains(reason.as_str()),
                    "{protocol:?} {reason}"
                );
            }
        }
    }
}

#[test]
fn requests_show_what_they_speak() {
    for (method, path, headers, expected) in [
        ("PUT", "/", &[][..], Dialect::Problem),
        ("PUT", "/", &[("accept", "text/html")], Dialect::Page),
        ("PUT", "/", &[("accept", "text/plain")], Dialect::Text),
        (
            "PUT",
            "/",
            &[
                ("accept", "*/*"),
                ("user-agent", "uploader/1.0"),
                ("content-type", "application/octet-stream"),
                ("authorization", "Basic eA=="),
            ],
            Dialect::Problem,
        ),
        (
            "PUT",
            "/",
            &[("accept", "*/*"), ("accept", "application/json;q=0")],
            Dialect::Text,
        ),
        ("POST", "/p.S/M", &[("content-type", "application/grpc")], Dialect::Grpc),
        (
            "POST",
            "/p.S/M",
            &[("content-type", "Application/gRPC+proto")],
            Dialect::Grpc,
        ),
        (
            "POST",
            "/p.S/M",
            &[("content-type", "application/grpc-web-text")],
            Dialect::GrpcWeb,
        ),
        (
            "POST",
            "/p.S/M",
            &[("content-type", "application/connect+proto")],
            Dialect::ConnectStream,
        ),
        (
            "POST",
            "/p.S/M",
            &[("content-type", "application/connect+json")],
            Dialect::ConnectStreamJson,
        ),
        (
            "POST",
            "/p.S/M",
            &[("content-type", "application/json"), ("connect-protocol-version", "1")],
            Dialect::ConnectUnary,
        ),
        ("PATCH", "/f/1", &[("tus-resumable", "1.0.0")], Dialect::Tus),
        ("POST", "/f", &[("upload-complete", "?0")], Dialect::ResumableUpload),
        (
            "POST",
            "/f",
            &[("upload-draft-interop-version", "6")],
            Dialect::ResumableUpload,
        ),
        (
            "POST",
            "/objects/batch",
            &[("accept", "application/vnd.git-lfs+json")],
            Dialect::GitLfs,
        ),
        (
            "PUT",
            "/bucket/key",
            &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
            Dialect::S3,
        ),
        (
            "PUT",
            "/bucket/key",
            &[("authorization", "AWS4-HMAC-SHA256 Credential=x")],
            Dialect::S3,
        ),
        (
            "POST",
            "/v1/traces",
            &[("content-type", "application/x-protobuf")],
            Dialect::Otlp,
        ),
        (
            "POST",
            "/v1/traces",
            &[("content-type", "application/json")],
            Dialect::Problem,
        ),
        ("PUT", "/v2/library/alpine/manifests/latest", &[], Dialect::Oci),
        ("POST", "/v2/library/alpine/blobs/uploads/", &[], Dialect::Oci),
        ("POST", "/v2/orders", &[], Dialect::Problem),
        ("MKCOL", "/folder", &[], Dialect::WebDav),
        ("COPY", "/folder", &[], Dialect::WebDav),
    ] {
        let parts = parts(method, path, headers);
        let mut hints = ProtocolHints::default();
        for (name, value) in &parts.headers {
            hints.record(name.as_str(), value);
        }
        let slowly = hints.dialect_slow((&parts).into());
        let dialects = (Dialect::detect((&parts).into()), slowly);
        assert_eq!(dialects, (expected, expected), "{method} {path} {headers:?}");
    }
}

#[test]
fn dialects_have_codes() {
    for (code, dialect) in (1..).zip(Dialect::ALL) {
        assert_eq!((dialect.code(), Dialect::from_code(code)), (code, Some(dialect)));
    }
    assert_eq!((Dialect::from_code(0), Dialect::from_code(17)), (None, None));
}

#[test]
fn http_is_problem_details() {
    for reason in Reason::ALL {
        let response = answer(reason, Protocol::Http);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem = json(response.body());
        assert_eq!(problem["status"], response.status().as_u16());
        assert_eq!(problem["reason"], reason.name());
        assert_eq!(problem["detail"], reason.as_str());
    }
    assert_eq!(
        json(answer(Reason::TooLarge, Protocol::Http).body())["title"],
        "Content Too Large"
    );
}

#[test]
fn webdav_names_the_condition() {
    let full = answer(Reason::Space, Protocol::WebDav);
    assert_eq!(full.status(), 507);
    assert!(
        body(&full).contains("<D:error xmlns:D=\"DAV:\"><D:sufficient-disk-space/>"),
        "{}",
        body(&full)
    );
    assert!(body(&answer(Reason::Quota, Protocol::WebDav)).contains("<D:quota-not-exceeded/>"));
    let never = answer(Reason::ExceedsCapacity, Protocol::WebDav);
    assert_eq!(never.status(), 413);
    assert!(!body(&never).contains("disk-space"));
}

#[test]
fn grpc_says_everything_in_headers() {
    let not_now = answer(Reason::Space, Protocol::Grpc);
    assert_eq!(not_now.status(), 200);
    assert!(not_now.body().is_empty());
    let headers = not_now.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-status"], "8");
    assert_eq!(headers["grpc-message"], Reason::Space.as_str());
    let pushback: u32 = headers["grpc-retry-pushback-ms"]
        .to_str()
        .expect("digits")
        .parse()
        .expect("a number");
    assert!((5000..=15000).contains(&pushback));
    let never = answer(Reason::TooLarge, Protocol::Grpc);
    assert_eq!(never.headers()["grpc-status"], "8");
    assert_eq!(never.headers()["grpc-retry-pushback-ms"], "-1");
    assert_eq!(
        answer(Reason::Unmeasured, Protocol::Grpc).headers()["grpc-status"],
        "14"
    );
    let web = answer(Reason::Space, Protocol::GrpcWeb);
    assert_eq!(web.headers()["content-type"], "application/grpc-web+proto");
    assert_eq!(web.headers()["grpc-status"], "8");
}

#[test]
fn connect_is_json_or_an_envelope() {
    let unary = answer(Reason::Space, Protocol::Connect);
    assert_eq!(unary.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(json(unary.body())["code"], "resource_exhausted");
    assert_eq!(answer(Reason::Unmeasured, Protocol::Connect).status(), 503);

    let request = parts("POST", "/p.S/M", &[("content-type", "application/connect+proto")]);
    let stream = answer_to(&RefusalWriter::default(), Reason::Space, request);
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "application/connect+proto");
    let (head, message) = stream.body().split_at(5);
    assert_eq!(head[0], 2, "the end of the stream");
    assert_eq!(
        u32::from_be_bytes(head[1..].try_into().expect("four")) as usize,
        message.len()
    );
    assert_eq!(json(message)["error"]["code"], "resource_exhausted");
}

#[test]
fn s3_spells_413_as_400() {
    let never = answer(Reason::ExceedsCapacity, Protocol::S3);
    assert_eq!(never.status(), 400);
    assert!(body(&never).contains("<Code>EntityTooLarge</Code>"));
    for (status, code) in [
        (TemporaryStatus::InsufficientStorage, "InsufficientStorage"),
        (TemporaryStatus::ServiceUnavailable, "ServiceUnavailable"),
        (TemporaryStatus::TooManyRequests, "SlowDown"),
    ] {
        let answers = RefusalWriter {
            protocol: Some(Protocol::S3),
            temporary_status: status,
            ..RefusalWriter::default()
        };
        let response = answer_to(&answers, Reason::Space, parts("PUT", "/b/k", &[]));
        assert!(body(&response).contains(code), "{}", body(&response));
    }
}

#[test]
fn oci_and_git_lfs_are_json() {
    let oci = answer(Reason::Quota, Protocol::Oci);
    assert_eq!(json(oci.body())["errors"][0]["code"], "DENIED");
    assert_eq!(
        json(answer(Reason::TooLarge, Protocol::Oci).body())["errors"][0]["code"],
        "SIZE_INVALID"
    );
    let lfs = answer(Reason::Space, Protocol::GitLfs);
    assert_eq!(
        (lfs.status().as_u16(), &lfs.headers()["content-type"]),
        (507, &"application/vnd.git-lfs+json".parse().expect("a value"))
    );
    assert_eq!(json(lfs.body())["message"], Reason::Space.as_str());
}

#[test]
fn otlp_is_told_so_that_exporters_try_again() {
    let response = answer(Reason::Space, Protocol::Otlp);
    assert_eq!(response.status(), 503);
    let body = response.body();
    assert_eq!(body[..3], [0x08, 8, 0x12]);
    assert_eq!(&body[4..], Reason::Space.as_str().as_bytes());
    assert_eq!(usize::from(body[3]), body.len() - 4);
    assert_eq!(answer(Reason::TooLarge, Protocol::Otlp).status(), 413);
    let answers = RefusalWriter {
        protocol: Some(Protocol::Otlp),
        temporary_status: TemporaryStatus::TooManyRequests,
        ..RefusalWriter::default()
    };
    let json_request = parts("POST", "/v1/logs", &[("content-type", "application/json")]);
    let response = answer_to(&answers, Reason::Space, json_request);
    assert_eq!(
        (response.status().as_u16(), json(response.body())["code"].as_u64()),
        (429, Some(8))
    );
}

/// One byte holds the length of a message in the protobuf above.
#[test]
fn words_are_short_and_need_no_escaping() {
    for reason in Reason::ALL {
        let words = reason.as_str();
        assert!(words.len() < 128, "{words}");
        assert!(
            words.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' '),
            "{words}"
        );
    }
}

#[test]
fn uploads_in_parts_are_told_the_largest_size() {
    let tus = answer(Reason::TooLarge, Protocol::Tus);
    assert_eq!(
        (tus.status().as_u16(), &tus.headers()["tus-max-size"]),
        (413, &HeaderValue::from(5000))
    );
    assert_eq!(tus.headers()["tus-resumable"], "1.0.0");
    assert_eq!(
        answer(Reason::TooLarge, Protocol::ResumableUpload).headers()["upload-limit"],
        "max-size=5000"
    );
    // What is free is nobody's business, so without a limit that was set there is none.
    let answers = RefusalWriter {
        protocol: Some(Protocol::Tus),
        ..RefusalWriter::default()
    };
    let response = answer_to(&answers, Reason::ExceedsCapacity, parts("POST", "/", &[]));
    assert!(!response.headers().contains_key("tus-max-size"));
}

#[test]
fn a_renderer_can_build_on_a_protocol() {
    let renderer = |refusal: &Refusal, context: &RenderContext<'_>| {
        let mut response = Protocol::Http.render(refusal, context);
        response
            .headers_mut()
            .insert("x-path", context.uri().path().parse().expect("a value"));
        response
            .headers_mut()
            .insert("retry-after", HeaderValue::from_static("99"));
        response
    };
    let answers = RefusalWriter {
        renderer: Some(std::sync::Arc::new(renderer)),
        ..RefusalWriter::default()
    };
    let parts = || parts("PUT", "/there", &[("accept", "text/html")]);
    let late = answers.late_context((&parts()).into(), None);
    for response in [
        answer_to(&answers, Reason::Space, parts()),
        answers.write_late(Refusal::new(Reason::Space), late, None),
    ] {
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(response.headers()["x-path"], "/there");
        assert_eq!(response.headers()["retry-after"], "99");
    }
}

#[test]
fn late_answers_remember_the_protocol() {
    let answers = RefusalWriter::default();
    let grpc = parts("POST", "/p.S/M", &[("content-type", "application/grpc")]);
    let late = answers.late_context((&grpc).into(), estimate_of(&grpc).dialect);
    let response = answers.write_late(Refusal::new(Reason::Space), late, None);
    assert_eq!(response.headers()["grpc-status"], "8");
}

fn estimate_of(parts: &Parts) -> Estimate {
    let body = ScriptedBody::new();
    estimate(class_of(&parts.method), parts.into(), &body, &LengthHints::default())
}

/// Nobody looks at the headers of a request of known length; the service did, and a page takes the place of a page.
#[test]
fn late_answers_of_known_length_are_as_the_service_s_own() {
    let answers = RefusalWriter::default();
    let http = RefusalWriter {
        protocol: Some(Protocol::Http),
        ..RefusalWriter::default()
    };
    let parts = parts("PUT", "/", &[("accept", "text/plain")]);
    let late = |answers: &RefusalWriter, replaced: Option<&'static str>| {
        let late = answers.late_context((&parts).into(), None);
        let mut headers = HeaderMap::new();
        if let Some(content_type) = replaced {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let response = answers.write_late(Refusal::new(Reason::Space), late, replaced.map(|_| &headers));
        response.headers()["content-type"].to_str().expect("text").to_owned()
    };
    assert_eq!(
        late(&answers, Some("text/html; charset=utf-8")),
        "text/html; charset=utf-8"
    );
    for other in [Some("text/plain"), Some("application/json"), None] {
        assert_eq!(late(&answers, other), "application/problem+json");
    }
    assert_eq!(
        late(&http, Some("text/html")),
        "text/plain; charset=utf-8",
        "as was asked for"
    );
}
