//! Files come back as they were sent, under names that stay in the directory.

use std::fs;

use super::site::{MIB, Site, names};

#[test]
fn stores_lists_reads_overwrites_and_deletes() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let (large, small) = (site.file("large", 5 * MIB + 123), site.file("small", 1000));

    assert_eq!(site.put("/files/a.bin", &large).status, 201);
    assert_eq!(site.put("/files/b.bin", &small).status, 201);
    fs::create_dir(site.dir.join("folder")).expect("created");
    let answer = site.get("/files/a.bin");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some("5243003"));
    assert!(
        answer.body == fs::read(&large).expect("readable"),
        "what comes back is what was stored"
    );
    let head = site.curl("/files/a.bin").arg("--head").send();
    assert_eq!((head.status, head.header("content-length")), (200, Some("5243003")));

    assert_eq!(site.put("/files/a.bin", &small).status, 204);
    assert_eq!(site.get("/files/a.bin").body, fs::read(&small).expect("readable"));
    let list = site.get("/files");
    assert_eq!(
        (list.status, list.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(
        list.text(),
        r#"[{"name":"a.bin","size":1000},{"name":"b.bin","size":1000}]"#
    );

    assert_eq!(site.delete("/files/a.bin").status, 204);
    assert_eq!(site.delete("/files/a.bin").status, 404);
    assert_eq!(site.get("/files/a.bin").status, 404);
    assert_eq!(site.get("/files/folder").status, 404);
    assert_eq!(names(&site.dir), ["b.bin", "folder"], "and no temporary file");
}

#[test]
fn an_upload_of_unknown_length_and_an_empty_one_are_stored() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let file = site.file("file", 3 * MIB);
    assert_eq!(site.curl("/files/chunked").chunked(&file).send().status, 201);
    assert!(site.get("/files/chunked").body == fs::read(&file).expect("readable"));
    assert_eq!(site.put("/files/empty", &site.file("empty", 0)).status, 201);
    assert_eq!(
        site.get("/files").text(),
        r#"[{"name":"chunked","size":3145728},{"name":"empty","size":0}]"#
    );
}

#[test]
fn bad_names_are_refused() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let too_long = "x".repeat(256);
    for (name, why) in [
        ("", "missing"),
        (".", "cannot be named"),
        ("..", "cannot be named"),
        ("%2e%2E", "cannot be named"),
        ("a/b", "separator"),
        ("../a", "separator"),
        ("a%2fb", "separator"),
        ("..%2Fa", "separator"),
        ("%2Fetc%2Fpasswd", "separator"),
        ("a%5Cb", "separator"),
        ("a%00b", "control"),
        ("a%0Ab", "control"),
        ("%7F", "control"),
        ("%C2%85", "control"),
        (".unfinished-upload-1-1", "taken"),
        (".Unfinished-UPLOAD-", "taken"),
        (&too_long, "255"),
        ("%FF", "UTF-8"),
    ] {
        let path = format!("/files/{name}");
        for method in [&["-X", "PUT", "--data-binary", "x"][..], &["-X", "DELETE"], &[]] {
            let answer = site.curl(&path).args(method).send();
            assert_eq!(answer.status, 400, "{path} {method:?}");
            assert!(answer.text().contains(why), "{path}: {}", answer.text());
        }
    }
    assert_eq!(names(&site.dir), [""; 0]);
    assert_eq!(names(site.desk.path()), ["uploads"]);
}

#[test]
fn odd_names_are_stored() {
    let Some(site) = Site::anywhere(&[]) else { return };
    let file = site.file("file", 3);
    let longest = "x".repeat(255);
    for name in [
        "%22quoted%22",
        "%C3%BC",
        "%25",
        "...",
        ".hidden",
        "-rf",
        "a%20b",
        &longest,
    ] {
        let path = format!("/files/{name}");
        assert_eq!(site.put(&path, &file).status, 201, "{path}");
        assert_eq!(site.get(&path).body, fs::read(&file).expect("readable"), "{path}");
    }
    assert_eq!(
        names(&site.dir),
        ["\"quoted\"", "%", "-rf", "...", ".hidden", "a b", &longest, "ü"]
    );
    assert_eq!(
        site.get("/files").text().replace(&longest, "x"),
        r#"[{"name":"\"quoted\"","size":3},{"name":"%","size":3},{"name":"-rf","size":3},{"name":"...","size":3},{"name":".hidden","size":3},{"name":"a b","size":3},{"name":"x","size":3},{"name":"ü","size":3}]"#,
    );
}
