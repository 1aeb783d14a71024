//! The example `webdav` with a quota on what all files take up.

use super::{
    MIB,
    webdav::{NO_SPACE, Site, is_refused},
};

const QUOTA_EXCEEDED: &str = "<D:quota-not-exceeded/>";

#[test]
fn the_quota_is_told_and_kept() {
    let Some(site) = Site::new(&["--quota", "6MiB"]) else {
        return;
    };
    assert_eq!(site.quota(), (0, 6 * MIB));
    assert_eq!(site.put("/a.bin", 4).status, 201);
    is_refused(&site.put("/b.bin", 3), 507, QUOTA_EXCEEDED);
    is_refused(&site.put("/b.bin", 7), 413, "");
    site.soon("it has been measured", || site.quota() == (4 * MIB, 2 * MIB));
    assert_eq!(site.put("/b.bin", 2).status, 201);
    assert_eq!(site.names(), ["a.bin", "b.bin"]);

    assert_eq!(site.request("DELETE", "/a.bin", &[]).status, 204);
    site.soon("what was deleted is free", || site.quota() == (2 * MIB, 4 * MIB));
    assert_eq!(site.put("/c.bin", 3).status, 201);
}

#[test]
fn the_disk_may_have_less_than_the_quota() {
    let Some(site) = Site::new(&["--quota", "14MiB"]) else {
        return;
    };
    assert_eq!(site.quota(), (0, 12 * MIB), "the scarcer of both");
    assert_eq!(site.put("/a.bin", 10).status, 201);
    is_refused(&site.put("/b.bin", 3), 507, NO_SPACE);
    is_refused(&site.put("/b.bin", 5), 507, NO_SPACE);
}
