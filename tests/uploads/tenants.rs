//! Everybody has files of his own, and a limit.

use serde_json::Value;

use super::{
    answers::{is_a_problem, is_refused_for_ever},
    curl::{Answer, Curl},
    server::Server,
    site::{MIB, Site, names},
};

const TENANTS: [&str; 2] = ["--tenant-header", "X-Tenant"];

fn site(options: &[&str]) -> Option<Site> {
    Site::anywhere(&[&TENANTS, options].concat())
}

/// What one tenant asks.
pub(super) struct As<'a>(pub(super) &'a Server, pub(super) &'a str);

impl As<'_> {
    pub(super) fn curl(&self, path: &str) -> Curl {
        Curl::new(self.0, path).args(&["-H", &format!("X-Tenant: {}", self.1)])
    }

    pub(super) fn put(&self, name: &str, file: &std::path::Path) -> Answer {
        self.curl(&format!("/files/{name}")).file(file).send()
    }

    pub(super) fn delete(&self, name: &str) -> Answer {
        self.curl(&format!("/files/{name}")).args(&["-X", "DELETE"]).send()
    }

    pub(super) fn quota(&self) -> Value {
        let answer = self.curl("/quota").send();
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    pub(super) fn used(&self) -> u64 {
        self.quota()["used"].as_u64().expect("a number")
    }
}

pub(super) fn is_over_quota(answer: &Answer) {
    assert_eq!(answer.status, 507, "{answer:?}");
    assert!(answer.text().contains("\"reason\":\"quota\""), "{}", answer.text());
    is_a_problem(answer);
}

#[test]
fn files_belong_to_whom_stored_them() {
    let Some(site) = site(&[]) else { return };
    let (ann, bob) = (As(&site.server, "ann"), As(&site.server, "bob"));
    let (one, two) = (site.file("one", 1000), site.file("two", 2000));
    assert_eq!(ann.put("a", &one).status, 201);
    assert_eq!(bob.curl("/files/a").send().status, 404);
    assert_eq!(bob.delete("a").status, 404);
    assert_eq!(bob.put("a", &two).status, 201, "another file of the same name");
    assert_eq!(ann.curl("/files").send().text(), r#"[{"name":"a","size":1000}]"#);
    assert_eq!(bob.curl("/files").send().text(), r#"[{"name":"a","size":2000}]"#);
    assert_eq!(bob.delete("a").status, 204);
    assert_eq!(ann.curl("/files/a").send().body, std::fs::read(&one).expect("there"));
    assert_eq!(names(&site.dir), ["tenant-ann", "tenant-bob"], "and no temporary file");
    assert_eq!(As(&site.server, "nobody").curl("/files").send().text(), "[]");
}

#[test]
fn who_does_not_say_who_he_is_stores_nothing_and_sees_nothing() {
    let Some(site) = site(&[]) else { return };
    let file = site.file("file", 1000);
    let answer = site.put("/files/a", &file);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("unknown_tenant"), "{}", answer.text());
    for answer in [
        site.get("/files"),
        site.get("/files/a"),
        site.delete("/files/a"),
        site.get("/quota"),
        As(&site.server, &"x".repeat(250)).curl("/files").send(),
        site.curl("/files")
            .args(&["-H", "X-Tenant: a", "-H", "X-Tenant: b"])
            .send(),
    ] {
        assert_eq!(answer.status, 403);
        assert_eq!(answer.text(), "the header x-tenant must name the tenant\n");
    }
    assert_eq!(names(&site.dir), [""; 0]);
}

#[test]
fn no_name_leads_elsewhere_and_no_two_are_the_same() {
    let Some(site) = site(&[]) else { return };
    let file = site.file("file", 3);
    for tenant in ["..", "../../etc", "/", "a", "A", "a%2f", "ü", ".", "tenant-a"] {
        assert_eq!(As(&site.server, tenant).put("f", &file).status, 201, "{tenant}");
    }
    assert_eq!(
        names(&site.dir),
        [
            "tenant-%2e",
            "tenant-%2e%2e",
            "tenant-%2e%2e%2f%2e%2e%2fetc",
            "tenant-%2f",
            "tenant-%41",
            "tenant-%c3%bc",
            "tenant-a",
            "tenant-a%252f",
            "tenant-tenant-a",
        ]
    );
    assert_eq!(names(site.desk.path()), ["file", "uploads"]);
}

#[test]
fn who_is_over_the_limit_is_refused_and_others_are_not() {
    let Some(site) = site(&["--tenant-limit", "3MiB"]) else {
        return;
    };
    let (ann, bob) = (As(&site.server, "ann"), As(&site.server, "bob"));
    let (large, medium) = (site.file("large", 2 * MIB), site.file("medium", MIB + 1));
    assert_eq!(ann.put("a", &large).status, 201);
    is_over_quota(&ann.put("b", &medium));
    is_over_quota(&ann.curl("/files/b").chunked(&medium).send());
    assert_eq!(bob.put("a", &large).status, 201);
    is_refused_for_ever(&bob.put("b", &site.file("huge", 3 * MIB + 1)));
    assert_eq!(ann.curl("/files").send().text(), r#"[{"name":"a","size":2097152}]"#);
    let quota: Value =
        serde_json::from_str(r#"{"used":2097152,"reserved":0,"held_elsewhere":0,"limit":3145728,"available":1048576}"#)
            .expect("JSON");
    assert_eq!(ann.quota(), quota);
    assert_eq!(As(&site.server, "nobody").used(), 0);
}

#[test]
fn a_delete_gives_back_and_an_overwrite_counts_its_difference() {
    let Some(site) = site(&["--tenant-limit=3MiB"]) else {
        return;
    };
    let ann = As(&site.server, "ann");
    let (one, two) = (site.file("one", MIB), site.file("two", 2 * MIB));
    assert_eq!(ann.put("a", &two).status, 201);
    assert_eq!(ann.put("a", &one).status, 204);
    assert_eq!(ann.used(), MIB as u64);
    assert_eq!(ann.curl("/files/a").chunked(&two).send().status, 204);
    assert_eq!(ann.used(), 2 * MIB as u64);
    is_over_quota(&ann.put("b", &two));
    assert_eq!(ann.delete("a").status, 204);
    assert_eq!(ann.used(), 0);
    assert_eq!(ann.delete("a").status, 404);
    assert_eq!(ann.put("b", &two).status, 201);
    assert_eq!(ann.used(), 2 * MIB as u64);
}

/// Whatever the order, what is counted in the end is what is there.
#[test]
fn overwrites_and_deletes_of_one_name_at_the_same_time_lose_nothing() {
    let Some(site) = site(&["--tenant-limit=1GiB"]) else {
        return;
    };
    let files: Vec<_> = (1..=8).map(|n| site.file(&format!("f{n}"), n * 1000)).collect();
    std::thread::scope(|scope| {
        for file in &files {
            let ann = As(&site.server, "ann");
            scope.spawn(move || {
                for _ in 0..6 {
                    assert!([201, 204].contains(&ann.put("same", file).status));
                    assert!([204, 404].contains(&ann.delete("same").status));
                    assert!([201, 204].contains(&ann.curl("/files/same").chunked(file).send().status));
                }
            });
        }
    });
    let ann = As(&site.server, "ann");
    let there = std::fs::metadata(site.dir.join("tenant-ann/same"))
        .expect("a file")
        .len();
    assert_eq!(ann.used(), there);
    assert_eq!(ann.delete("same").status, 204);
    assert_eq!(ann.used(), 0);
}

#[test]
fn limits_come_from_a_file_that_is_watched() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("limits.toml");
    std::fs::write(&path, "[tenants]\nann = \"1MiB\"").expect("written");
    let path_name = path.display().to_string();
    let Some(site) = site(&["--tenant-limit=3MiB", "--tenant-limits", &path_name]) else {
        return;
    };
    let (ann, bob) = (As(&site.server, "ann"), As(&site.server, "bob"));
    let file = site.file("file", 2 * MIB);
    is_refused_for_ever(&ann.put("a", &file));
    assert_eq!(bob.put("a", &file).status, 201);
    std::fs::write(&path, "[tenants]\nann = \"unlimited\"").expect("written");
    super::site::eventually("the new limit counts", || ann.quota()["limit"].is_null());
    assert_eq!(ann.put("a", &file).status, 201);
    assert!(ann.quota()["available"].is_null());
}

#[test]
fn the_status_tells_of_the_ledger_and_of_tenants_where_that_is_asked_for() {
    for shows in [false, true] {
        let options: &[&str] = if shows { &["--show-tenants"] } else { &[] };
        let Some(site) = site(&[&["--tenant-limit=1MiB"], options].concat()) else {
            return;
        };
        assert_eq!(As(&site.server, "ann").put("a", &site.file("a", 1000)).status, 201);
        super::site::eventually("the status has looked", || {
            let status: Value = serde_json::from_slice(&site.get("/capacity").body).expect("JSON");
            status["tenants"]["tracked"] == 1 && (!shows || status["tenants"]["fullest"][0]["used"] == 1000)
        });
        let page = site.curl("/capacity").args(&["-H", "Accept: text/html"]).send().text();
        assert_eq!(page.contains("ann"), shows);
    }
}
