//! What the answers to refused uploads look like.

use super::curl::Answer;

pub(super) fn is_refused_for_now(answer: &Answer) {
    assert_eq!(answer.status, 507, "{answer:?}");
    let seconds: u32 = answer
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("in seconds");
    assert!(seconds > 0);
    is_a_problem(answer);
}

pub(super) fn is_refused_for_ever(answer: &Answer) {
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(answer.header("retry-after"), None);
    is_a_problem(answer);
}

pub(super) fn is_a_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(
        answer.text().contains(&format!("\"status\":{}", answer.status)),
        "{}",
        answer.text()
    );
}
