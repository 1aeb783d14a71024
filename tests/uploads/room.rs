//! What a small disk has room for.

use std::{
    fs,
    io::{Read, Write},
    thread,
    time::Duration,
};

use super::{
    answers::{is_a_problem, is_refused_for_ever, is_refused_for_now},
    site::{FROM_A_PAGE, MIB, Site, eventually, made, names, small_disk, within},
    volume::Volume,
};

/// How long it may take until room that was made can be used.
const A_SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_does_not_fit_now_fits_after_something_was_deleted() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    let file = site.file("file", 30 * MIB);
    assert_eq!(site.put("/files/first", &file).status, 201);
    is_refused_for_now(&site.put("/files/second", &file));
    // Without the handshake the client is sending already when it is refused.
    is_refused_for_now(&site.curl("/files/second").file(&file).args(&["-H", "Expect:"]).send());
    assert_eq!(names(&site.dir), ["first"]);

    assert_eq!(site.delete("/files/first").status, 204);
    within(A_SECOND, "it fits", || site.put("/files/second", &file).status == 201);
    assert_eq!(names(&site.dir), ["second"]);
}

#[test]
fn what_could_never_fit_is_too_large() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    is_refused_for_ever(&site.put("/files/large", &site.file("large", 70 * MIB)));
    // It would fit on the disk, but not beside what must stay free.
    is_refused_for_ever(&site.put("/files/large", &site.file("large", 53 * MIB)));
    assert_eq!(names(&site.dir), [""; 0]);
}

#[test]
fn deleting_works_on_a_full_disk() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    let file = site.file("file", 20 * MIB);
    assert_eq!(site.put("/files/old", &file).status, 201);
    site.disk().fill();
    // The guard may not have looked yet; then the disk itself says no, and the answer is the same. A small file first: its
    // sender is done by then, where one of much more could find the connection closed before it reads the answer.
    is_refused_for_now(&site.put("/files/tiny", &site.file("tiny", 1)));
    is_refused_for_now(&site.put("/files/new", &file));
    assert_eq!(names(&site.dir), ["old"]);

    assert_eq!(site.get("/files/old").body.len(), 20 * MIB);
    assert_eq!(site.delete("/files/old").status, 204);
    let file = site.file("file", 10 * MIB);
    within(A_SECOND, "it fits", || site.put("/files/new", &file).status == 201);
}

#[test]
fn serves_a_disk_that_is_full_from_the_start() {
    let Some(disk) = small_disk() else { return };
    let dir = disk.path().join("uploads");
    fs::create_dir(&dir).expect("created");
    fs::rename(disk.fill(), dir.join("ballast")).expect("moved");
    let Some(site) = Site::new(Some(disk), &[]) else { return };
    assert!(
        site.server.announcement.contains("may be uploaded now         0 B"),
        "{}",
        site.server.announcement
    );
    let file = site.file("file", MIB);
    is_refused_for_now(&site.put("/files/file", &file));
    assert_eq!(site.delete("/files/ballast").status, 204);
    within(A_SECOND, "it fits", || site.put("/files/file", &file).status == 201);
}

#[test]
fn serves_a_disk_without_room_for_another_file_from_the_start() {
    let Some(disk) = made(Volume::tmpfs(16 << 20, 20)) else {
        return;
    };
    let dir = disk.path().join("uploads");
    fs::create_dir(&dir).expect("created");
    let last = (0..).find(|number| fs::write(dir.join(format!("{number}")), "x").is_err());
    assert!(last.is_some_and(|last| (1..20).contains(&last)));
    let Some(site) = Site::new(Some(disk), &[]) else { return };
    let file = site.file("file", 1000);
    is_refused_for_now(&site.put("/files/file", &file));
    assert_eq!(site.delete("/files/0").status, 204);
    within(A_SECOND, "it fits", || site.put("/files/file", &file).status == 201);
}

#[test]
fn a_chunked_upload_that_outgrows_the_room_leaves_nothing() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    let file = site.file("file", 25 * MIB);
    assert_eq!(site.put("/files/old", &file).status, 201);
    // It ends before it is larger than what the disk could hold if it were empty.
    let large = site.file("large", 60 * MIB);
    is_refused_for_now(&site.curl("/files/new").chunked(&large).send());
    eventually("nothing is left of it", || names(&site.dir) == ["old"]);
    let file = site.file("file", 20 * MIB);
    within(A_SECOND, "its room is free again", || {
        site.put("/files/new", &file).status == 201
    });
}

#[test]
fn a_disk_that_others_fill_during_an_upload_is_full_too() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    let mut upload = site
        .server
        .connect("PUT /files/file HTTP/1.1\r\nContent-Length: 31457280");
    upload.write_all(&vec![1; 10 * MIB]).expect("sent");
    eventually("it is admitted", || !names(&site.dir).is_empty());
    site.disk().fill();
    // The server may close while this is on its way.
    let _ = upload.write_all(&vec![1; 20 * MIB]);
    let mut answer = [0; 12];
    upload.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 507");
    site.is_soon_empty();
}

#[test]
fn a_disk_that_became_read_only_is_told_of() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    let file = site.file("file", 1000);
    assert_eq!(site.put("/files/old", &file).status, 201);
    site.disk().remount_read_only();
    let answer = site.put("/files/new", &file);
    assert_eq!(answer.status, 507);
    assert_eq!(answer.header("retry-after"), None, "time alone does not help");
    is_a_problem(&answer);
    assert_eq!(site.get("/files/old").status, 200);
}

#[test]
fn many_uploads_at_once_never_fill_the_disk() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    let file = site.file("file", 10 * MIB);
    let statuses: Vec<_> = thread::scope(|scope| {
        let uploads: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn({
                    let (site, file) = (&site, &file);
                    move || site.put(&format!("/files/{number}"), file).status
                })
            })
            .collect();
        uploads
            .into_iter()
            .map(|upload| upload.join().expect("curl is done"))
            .collect()
    });
    let stored = statuses.iter().filter(|status| **status == 201).count();
    assert!((1..=4).contains(&stored), "{statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 507).count(),
        8 - stored,
        "{statuses:?}"
    );
    assert_eq!(names(&site.dir).len(), stored);
    assert!(site.disk().available() >= 4 << 20);
}

#[test]
fn browsers_may_read_that_it_does_not_fit_now() {
    let Some(site) = Site::on_small_disk(&[]) else { return };
    site.disk().fill();
    let preflight = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"];
    let answer = site.curl("/files/file").args(&preflight).args(&FROM_A_PAGE).send();
    assert_eq!(answer.status, 200);
    let methods = answer.header("access-control-allow-methods").expect("told");
    assert!(methods.contains("PUT"), "{methods}");

    let file = site.file("file", 11);
    let answer = site.curl("/files/file").file(&file).args(&FROM_A_PAGE).send();
    is_refused_for_now(&answer);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
}
