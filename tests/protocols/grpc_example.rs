//! The example `grpc`: a server and its client in one program.

use super::example::{rejects, run_to_end};

#[test]
fn shows_what_refusals_look_like() {
    let ended = run_to_end("grpc", &[]);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let refused = "ResourceExhausted: there is not enough room to store the content now (retry after: ";
    for (line, start) in lines.iter().zip([
        "listening on http://127.0.0.1:".to_owned(),
        "1 MiB: stored 1048576 bytes".to_owned(),
        format!("4 MiB, announced: {refused}"),
        format!("4 MiB, not announced: {refused}"),
    ]) {
        assert!(line.starts_with(&start), "{}", ended.stdout);
    }
    assert_eq!(lines.len(), 4, "{}", ended.stdout);
}

#[test]
fn bad_options_are_named() {
    rejects("grpc", &["--port"], &["`--port`", "--listen"]);
    rejects("grpc", &["--listen"], &["--listen needs a value"]);
}
