//! What the options limit.

use std::io::Read;

use tempfile::TempDir;

use super::{
    answers::is_refused_for_ever,
    server::Server,
    site::{FROM_A_PAGE, MIB, Site, eventually, names},
};

#[test]
fn a_largest_upload_can_be_set() {
    let Some(site) = Site::anywhere(&["--max-upload=1MiB"]) else {
        return;
    };
    assert_eq!(site.put("/files/fits", &site.file("fits", MIB)).status, 201);
    let file = site.file("large", MIB + 1);
    is_refused_for_ever(&site.put("/files/large", &file));
    is_refused_for_ever(&site.curl("/files/large").chunked(&file).send());
    eventually("nothing is left of it", || names(&site.dir) == ["fits"]);
}

#[test]
fn a_length_near_the_end_of_the_number_line_is_too_large() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let mut upload = site
        .server
        .connect("PUT /files/file HTTP/1.1\r\nContent-Length: 18446744073709551613");
    let mut answer = [0; 12];
    upload.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    assert_eq!(names(&site.dir), [""; 0]);
}

#[test]
fn browsers_may_read_that_it_is_too_large() {
    let Some(site) = Site::anywhere(&["--max-upload=10"]) else {
        return;
    };
    let file = site.file("file", 11);
    let answer = site.curl("/files/file").file(&file).args(&FROM_A_PAGE).send();
    is_refused_for_ever(&answer);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn report_only_refuses_nothing_and_tells() {
    let too_much = ["--min-free=900TiB"];
    let Some(site) = Site::anywhere(&too_much) else { return };
    is_refused_for_ever(&site.put("/files/file", &site.file("file", 1000)));
    drop(site);

    let Some(site) = Site::anywhere(&[&too_much[..], &["--report-only"]].concat()) else {
        return;
    };
    assert_eq!(site.put("/files/file", &site.file("file", 1000)).status, 201);
    assert_eq!(names(&site.dir), ["file"]);
    let log = site.server.log();
    assert!(
        log.contains("reason=\"exceeds_capacity\"") && log.contains("enforced=false"),
        "{log}"
    );
}

#[test]
fn the_larger_floor_counts() {
    let dir = TempDir::new().expect("a directory");
    let told = |options: &[&str]| {
        let server = Server::start(dir.path(), options);
        let amount = |label: &str| {
            let line = server
                .announcement
                .lines()
                .find_map(|line| line.trim().strip_prefix(label));
            line.expect("told").trim().to_owned()
        };
        (amount("size of the disk"), amount("must stay free"))
    };
    let (size, all) = told(&["--min-free=1kB", "--min-free-percent", "100"]);
    assert_eq!(all, size);
    let (_, far_more) = told(&["--min-free", "900TiB", "--min-free-percent=100%"]);
    assert_eq!(far_more, "900.0 TiB");
    let (_, none) = told(&["--min-free-percent=0"]);
    assert_eq!(none, "0 B");
}
