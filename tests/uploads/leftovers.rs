//! An upload is stored whole, or nothing of it stays.

use std::{
    fs,
    io::{Read, Write},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    server::{Server, run_to_end},
    site::{MIB, Site, eventually, names},
};

#[test]
fn an_upload_that_is_broken_off_leaves_nothing() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let heads = ["Content-Length: 20971520", "Transfer-Encoding: chunked"];
    for head in heads {
        let mut upload = site.server.connect(&format!("PUT /files/file HTTP/1.1\r\n{head}"));
        if head.contains("chunked") {
            upload.write_all(b"a00000\r\n").expect("sent");
        }
        upload.write_all(&vec![1; 10 * MIB]).expect("sent");
        eventually("it is being received", || !names(&site.dir).is_empty());
        drop(upload);
        site.is_soon_empty();
    }
    // At any moment, also while its file is just being made.
    for round in 0..60 {
        let mut upload = site
            .server
            .connect(&format!("PUT /files/file HTTP/1.1\r\n{}", heads[0]));
        upload.write_all(&vec![1; round * 1000]).expect("sent");
        thread::sleep(Duration::from_micros(round as u64 * 20));
    }
    site.is_soon_empty();
    assert_eq!(site.get("/files").text(), "[]");
}

#[test]
fn leftovers_are_removed_at_the_start() {
    let dir = TempDir::new().expect("a directory");
    for name in [
        ".unfinished-upload-7-7",
        ".unfinished-upload-",
        ".hidden",
        ".unfinished-1",
        "file",
    ] {
        fs::write(dir.path().join(name), name).expect("written");
    }
    let _server = Server::start(dir.path(), &[""; 0]);
    assert_eq!(names(dir.path()), [".hidden", ".unfinished-1", "file"]);
}

#[test]
fn what_a_killed_server_was_receiving_is_removed_by_the_next() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(dir.path(), &[""; 0]);
    let mut upload = server.connect("PUT /files/file HTTP/1.1\r\nContent-Length: 2");
    upload.write_all(b"1").expect("sent");
    eventually("it is being received", || !names(dir.path()).is_empty());
    drop(server);
    assert_eq!(names(dir.path()).len(), 1, "killed before it could tidy up");
    let _next = Server::start(dir.path(), &[""; 0]);
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn a_second_server_at_the_same_address_leaves_uploads_alone() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let mut upload = site.server.connect("PUT /files/file HTTP/1.1\r\nContent-Length: 2");
    upload.write_all(b"1").expect("sent");
    eventually("it is being received", || !names(&site.dir).is_empty());
    let options = [
        format!("--listen={}", site.server.address),
        format!("--dir={}", site.dir.display()),
    ];
    let (status, _, stderr) = run_to_end(&options);
    assert_eq!(status.code(), Some(2));
    assert!(
        stderr.contains(&format!("--listen: `{}`", site.server.address)),
        "{stderr}"
    );
    upload.write_all(b"2").expect("sent");
    eventually("it is stored", || names(&site.dir) == ["file"]);
}

#[test]
fn uploads_under_way_are_finished_before_it_stops() {
    let Some(mut site) = Site::anywhere(&[]) else { return };
    let mut upload = site
        .server
        .connect("PUT /files/file HTTP/1.1\r\nContent-Length: 2097152");
    upload.write_all(&vec![1; MIB]).expect("sent");
    eventually("it is being received", || !names(&site.dir).is_empty());
    site.server.terminate();
    eventually("it has heard", || site.server.log().contains("stop again"));
    upload.write_all(&vec![1; MIB]).expect("sent");
    let mut answer = String::new();
    upload.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(site.server.wait().code(), Some(0));
    assert_eq!(names(&site.dir), ["file"]);
}

#[test]
fn a_second_signal_breaks_uploads_off() {
    let Some(mut site) = Site::anywhere(&[]) else { return };
    let mut upload = site
        .server
        .connect("PUT /files/file HTTP/1.1\r\nContent-Length: 2097152");
    upload.write_all(&vec![1; MIB]).expect("sent");
    eventually("it is being received", || !names(&site.dir).is_empty());
    site.server.terminate();
    eventually("it has heard", || site.server.log().contains("stop again"));
    site.server.terminate();
    assert_eq!(site.server.wait().code(), Some(0));
    assert_eq!(names(&site.dir), [""; 0]);
}
